"""Finds damage in the file and wrong counters."""
