"""The connection to a gateway: one WebSocket, replaced when it breaks."""
