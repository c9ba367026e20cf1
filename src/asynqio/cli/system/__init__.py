"""Commands about the system as a whole: stats, doctor, config, metrics, version."""
