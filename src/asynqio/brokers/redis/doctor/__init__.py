"""Detects and repairs damaged data, and reports risky server settings."""
