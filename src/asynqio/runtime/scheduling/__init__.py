"""Fires schedules: when each entry is due, and where the entries come from."""
