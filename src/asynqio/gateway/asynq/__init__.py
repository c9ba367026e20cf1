"""The asynq-server WebSocket protocol, as the published Rust crate `asynq` speaks it."""
