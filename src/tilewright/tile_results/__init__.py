"""A job's results on disk: what is banked of a tile, and how."""
