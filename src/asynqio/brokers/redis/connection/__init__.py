"""Connections to Redis: single server, Sentinel, Cluster; reconnecting; push messages."""
