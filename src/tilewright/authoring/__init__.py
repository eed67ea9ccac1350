"""New models and what is generated from them."""
