"""Connections to Redis: one server, Sentinel, Cluster; reconnecting; push messages."""
