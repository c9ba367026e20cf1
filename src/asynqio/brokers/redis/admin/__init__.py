"""What inspectors read and operators change."""
