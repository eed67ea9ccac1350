"""What a run will do: every parameter and image header checked, then cut into jobs."""
