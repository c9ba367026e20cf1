"""`asynqio worker`: one worker server, or a supervisor that runs several."""
