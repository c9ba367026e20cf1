"""The contract that every broker keeps."""
