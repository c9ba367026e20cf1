"""The gateway over its WebSocket protocol, beside a bare echo on the same server."""
