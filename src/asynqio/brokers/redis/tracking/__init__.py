"""Client tracking: Redis reports the next change of each key that was read."""
