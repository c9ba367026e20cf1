"""Explains the state of a task in sentences."""
