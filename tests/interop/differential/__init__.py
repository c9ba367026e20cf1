"""The same operations by asynqio on one Redis database and by Go on another; both must be equal after each."""
