"""Finds problems of a database and fixes some of them."""
