"""Pure decisions: no I/O, no clock, no event loop. Everything here can be tested with plain calls.

Imports the standard library and msgspec (which is as pure: it checks and encodes values), nothing else.
"""
