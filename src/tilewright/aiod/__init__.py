"""The dialect of napari's AI OnDemand plugin."""
