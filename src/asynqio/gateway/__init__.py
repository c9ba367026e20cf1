"""The gateway: opens a store to other languages and machines over HTTP and WebSocket."""
