"""Attempts: their records, how they ended, and how to follow a task."""
