"""What surrounds the code: workflows, container files, the package, and the documentation site."""
