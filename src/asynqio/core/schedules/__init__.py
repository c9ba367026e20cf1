"""Schedules: cron specs, the next tick, missed ticks, and schedule entries."""
