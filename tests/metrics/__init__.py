"""Metrics, scraped over HTTP and parsed with the parsers of Prometheus."""
