"""Cron specs, the next time of a schedule, and missed ticks."""
