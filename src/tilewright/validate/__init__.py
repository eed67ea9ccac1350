"""What is wrong with a manifest, from its words to a run of the pipeline."""
