"""Tests of the Redis broker against real servers: single, TLS, ACL, Sentinel, Cluster."""
