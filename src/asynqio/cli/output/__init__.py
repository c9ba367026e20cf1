"""Printing: tables, JSON, numbers and times, progress, results of actions."""
