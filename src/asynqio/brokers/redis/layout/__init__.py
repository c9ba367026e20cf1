"""Keys, messages and tokens as they are stored in Redis."""
