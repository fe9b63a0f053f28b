"""One write on its way to the store, as admission looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from proa.controlplane._json import Document

from ._options import DeleteOptions, Options
from ._resource import Resource


class Review(msgspec.Struct):
    """What is to be written over what. `new` is None for a deletion, `old` for a creation."""

    operation: str
    resource: Resource
    namespace: str
    name: str
    new: Document | None
    old: Document | None
    options: Options | DeleteOptions
    subresource: str = ""
    warnings: list[str] = []
    """What the client is to be warned of."""
    conform: bool = False
    """Set when a webhook has changed the object: it has to be made to conform to its type again."""

    again: bool = False
    """Whether those who want that are asked a second time."""
    changed: bool = False
    """Set when somebody outside has changed the object: then there is a second time."""
    rounds: dict[str, Any] = {}
    """What those outside keep from the first time to the second."""
    overtaken: Callable[[], bool] = lambda: False
    """Whether the object has become another one since, and the write will not be done as it is."""

    @property
    def document(self) -> Document:
        """The object as it will be; for a deletion, as it was."""
        document = self.new if self.new is not None else self.old
        assert document is not None
        return document


class Admission(Protocol):
    """Who has a say in writes. All raise StatusError to refuse, and may take their time (webhooks): the
    caller then sees to it that what they have seen is still true.
    """

    async def mutate(self, review: Review) -> None:
        """May change the new object. Before it is checked."""

    async def convert(self, review: Review) -> None:
        """Makes of the new object, once it is checked, what is stored, in place."""

    async def validate(self, review: Review) -> None:
        """May only refuse. Last of all."""

    async def connect(self, review: Review) -> None:
        """May only refuse that somebody connects to something: `new` has the options of the connection."""
