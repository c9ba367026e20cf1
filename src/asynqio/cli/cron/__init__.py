"""`asynqio cron`: schedules."""
