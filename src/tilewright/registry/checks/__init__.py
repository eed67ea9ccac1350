"""What a manifest must be like: one table of checks, by which PLAN refuses and `validate` tells."""
