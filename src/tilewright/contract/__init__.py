"""What all steps agree on: the spec, the grid, and the files between steps."""
