"""Traces, exported by the OpenTelemetry SDK."""
