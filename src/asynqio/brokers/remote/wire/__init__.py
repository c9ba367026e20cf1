"""What clients and gateways write to each other: the table of operations, and the values in it."""
