"""Permissions by queue and task type: actions, roles, grants, and the queue prefix of a tenant."""
