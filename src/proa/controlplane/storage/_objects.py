"""An object as it is kept: encoded once, without its kind and version, ready to be joined into any answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proa.controlplane._json import Document, decode, encode
from proa.controlplane._lazy_document import Lazy


class Key(NamedTuple):
    """Which object: its storage resource (for example `pods` or `deployments.apps`), namespace (or empty)
    and name.
    """

    resource: str
    namespace: str
    name: str


COMPACTED = Key("compacted", "", "")
"""The trace whose revision is the one up to which the past is forgotten, whatever happened since."""


class Stored:
    """One version of one object; never changed once made.

    `tail` is the object's JSON after `{"kind":…,"apiVersion":…,`: an answer puts the kind before it, an
    item of a list needs none, and neither has to be encoded again.
    """

    __slots__ = ("_fields", "_labels", "key", "revision", "tail", "uid")

    def __init__(self, key: Key, uid: str, revision: int, tail: bytes) -> None:
        self.key = key
        self.uid = uid
        self.revision = revision
        self.tail = tail
        self._labels: Mapping[str, str] | None = None
        self._fields: Mapping[str, str] | None = None

    @classmethod
    def encode(cls, key: Key, document: Document, revision: int) -> Stored:
        """The version of an object that a document (kind and version aside) describes; sets its
        resourceVersion.
        """
        metadata = document["metadata"]
        metadata["resourceVersion"] = str(revision)
        stored = cls(key, metadata["uid"], revision, tail_of(document))
        stored._labels = dict(metadata.get("labels") or ())
        return stored

    def lazy(self) -> Lazy:
        """The object as `document` gives it, decoded as far as somebody looks at it."""
        return Lazy.of(b"{" + self.tail)

    @staticmethod
    def document_of(tail: bytes) -> Document:
        """The object that a tail holds."""
        document: Document = decode(b"{" + tail)
        return document

    def document(self) -> Document:
        """The object, without kind and apiVersion; a fresh copy each time."""
        return self.document_of(self.tail)

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""
        if self._labels is None:
            self._labels = self.document()["metadata"].get("labels") or {}
        return self._labels

    def forget_fields(self) -> None:
        """Lets the fields be selected anew: there may be others now."""
        self._fields = None

    def fields(self, select: Callable[[Document], Mapping[str, str]]) -> Mapping[str, str]:
        """What field selectors see of the object; `select` must be the same for all of a resource's
        objects.
        """
        if self._fields is None:
            self._fields = select(self.document())
        return self._fields


def tail_of(document: Document) -> bytes:
    """What of an object is stored: its JSON without kind and version, and without the opening brace."""
    if type(document) is Lazy:
        return encode(document.body())[1:]
    return encode({name: value for name, value in document.items() if name not in _KIND})[1:]


_KIND = frozenset({"kind", "apiVersion"})
