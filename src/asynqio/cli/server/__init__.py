"""`asynqio server`: worker servers."""
