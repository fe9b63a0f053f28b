"""What a patch can fail with."""

from __future__ import annotations


class PatchError(ValueError):
    """The patch is malformed, or does not fit the document. `malformed` tells the two apart."""

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed


class TestFailedError(PatchError):
    """A patch's own test of the document fails."""
