"""`asynqio demo`: a worker on a stream of sample tasks, live in the terminal."""
