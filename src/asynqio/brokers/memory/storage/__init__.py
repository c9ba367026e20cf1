"""The data structures of the memory broker."""
