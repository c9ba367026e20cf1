"""What is more than a call: notifications, cancellations, leases of cancelled calls."""
