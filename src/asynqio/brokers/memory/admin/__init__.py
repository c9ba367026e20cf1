"""Inspection and operator actions, one idea per file."""
