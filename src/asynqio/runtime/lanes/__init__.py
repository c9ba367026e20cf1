"""Where handlers run: in threads and in processes."""
