"""A mixed load for as long as asked, with failures of Redis in it."""
