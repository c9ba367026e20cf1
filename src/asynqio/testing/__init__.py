"""For your tests: no service, no sleeping."""
