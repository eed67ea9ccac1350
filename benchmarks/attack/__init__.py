"""Bad inputs, made by script, and whether each is met by a sentence."""
