"""A store in one format each: `write(store, path)`."""
