"""`asynqio group`: groups of tasks waiting to be aggregated."""
