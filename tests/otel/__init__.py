"""Traces, as OpenTelemetry's own SDK exports them."""
