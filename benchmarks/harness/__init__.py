"""Runs cases and reports their results."""
