"""Metrics as Prometheus sees them: scraped over HTTP, and read with Prometheus' own parsers."""
