"""How well a run's objects are those of a truth: overlaps, measures, and files of them."""
