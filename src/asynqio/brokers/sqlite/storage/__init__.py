"""The database file: connection, writer thread, statements, rows, errors."""
