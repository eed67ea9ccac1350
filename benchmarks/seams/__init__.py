"""Every rule that joins tiles, on scenes with known truth. See `docs/seams.md`."""
