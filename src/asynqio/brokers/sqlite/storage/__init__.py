"""The database file: connection, threads, statements, rows, errors."""
