"""Others, to compare with in the same run."""
