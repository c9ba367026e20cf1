"""The contract that every broker fulfils."""
