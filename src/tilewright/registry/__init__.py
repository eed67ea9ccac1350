"""Which models there are: manifests, overlays, and what one choice comes to."""
