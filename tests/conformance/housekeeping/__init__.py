"""Sweeping, the archive, and what outlived its retention."""
