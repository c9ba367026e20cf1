"""`asynqio cron`."""
