"""What is promised, shown with real processes that are killed, frozen and blocked."""
