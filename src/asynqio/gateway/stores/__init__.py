"""Stores that wrap a store: calls shared by concurrent callers, and the view of one principal."""
