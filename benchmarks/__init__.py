"""How fast it is, per broker, beside others on the same machine in the same minute. Run `make bench`."""
