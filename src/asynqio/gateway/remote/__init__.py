"""The gateway's side of the `ws://` broker: the whole contract over one WebSocket."""
