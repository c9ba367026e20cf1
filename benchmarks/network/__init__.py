"""A TCP proxy that delays and breaks connections."""
