"""Who calls the gateway: tenants, API tokens, passwords, and what each principal may do."""
