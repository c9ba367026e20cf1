"""Finds damage in the stored data and risks in the server settings."""
