"""How a group's banks become its stores."""
