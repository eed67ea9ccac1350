"""A model whose environment lacks its library."""

import a_library_that_is_not_there  # noqa: F401
