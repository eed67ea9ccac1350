"""Runs that are disturbed, by kills and by what machines do; see `__main__`."""
