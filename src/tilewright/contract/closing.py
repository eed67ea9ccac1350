"""What is opened is closed: the context manager that files and readers share."""

from __future__ import annotations

from typing import Self


class Closing:
    """Something with a `close` of its own, for ``with``."""

    def close(self) -> None:
        """Let go of what is held.

        Raises
        ------
        NotImplementedError
            Always: each subclass has its own.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
