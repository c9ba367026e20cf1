"""Pure decisions: no I/O, no clock, no event loop; only the standard library and msgspec are imported."""
