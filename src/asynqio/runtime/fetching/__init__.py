"""Fetches tasks from the broker."""
