"""Made slides of every format, and what openslide, tiffslide and wsidicom read of them."""
