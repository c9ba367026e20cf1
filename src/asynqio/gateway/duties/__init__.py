"""The periodic duties of a gateway, and those that signals wake."""
