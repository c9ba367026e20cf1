"""The operations of the broker contract, one idea per file."""
