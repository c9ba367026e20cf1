"""Keys, messages and encodings of the Redis layout."""
