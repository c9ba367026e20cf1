"""Who may do what on which queue and task type: actions, roles, grants, and the queues of a tenant."""
