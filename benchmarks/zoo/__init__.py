"""The registry's models in their own environments, with weights made in their libraries' format."""
