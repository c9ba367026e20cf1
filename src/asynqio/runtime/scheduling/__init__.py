"""Fires schedules: when each entry is due, and the source of the entries."""
