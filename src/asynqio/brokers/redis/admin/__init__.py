"""Inspection of queues and tasks, and operator actions."""
