"""`asynqio demo`: a small company's background work, made up and done before your eyes."""
