"""Whole slides of known truth: what they show, and one module for each format."""
