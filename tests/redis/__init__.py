"""Redis as it is met in the field: single, encrypted, guarded, sharded, failing over. Real servers, all of them."""
