"""Renews leases, and recovers tasks whose lease expired."""
