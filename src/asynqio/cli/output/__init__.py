"""How commands print: tables, JSON, numbers, progress."""
