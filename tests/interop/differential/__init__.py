"""The same operations, on one Redis database by us and on another by Go: both must look the same after each."""
