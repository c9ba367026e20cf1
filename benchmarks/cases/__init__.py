"""What is measured, one module per topic."""
