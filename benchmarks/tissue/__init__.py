"""Slides made of real H&E with known tissue, and rules that look for it. See `docs/tissue.md`."""
