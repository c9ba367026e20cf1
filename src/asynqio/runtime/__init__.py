"""What a worker server does, one duty per file. Knows the `Broker` contract and no broker."""
