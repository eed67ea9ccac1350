"""The public Python face, beside ModelSpec and the registry."""
