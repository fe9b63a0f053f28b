"""Documents that are decoded part by part: who writes a status need not read the spec.

Nor need who uses some of many types know all of them.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

import msgspec

from proa.controlplane._json import Document, decode

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Lazy(dict[str, Any]):
    """A document whose parts are decoded when they are asked for one by one; to all others it is whole.

    Args:
        raw: All parts as they are stored; never changed, and so shared between versions that share parts.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[str, msgspec.Raw]) -> None:
        super().__init__()
        self._raw = raw

    @classmethod
    def of(cls, text: bytes) -> Lazy:
        """The document that a JSON object is."""
        return cls(_parts(text))

    def successor(self, changed: Document) -> Lazy:
        """The document with some parts replaced."""
        new = Lazy(self._raw)
        new.update(changed)
        return new

    def body(self) -> Document:
        """What to encode: parts that nobody has looked at as they were."""
        return {**self._raw, **{name: super(Lazy, self).__getitem__(name) for name in super().__iter__()}}

    def __missing__(self, name: str) -> Any:
        value = self[name] = decode(bytes(self._raw[name]))
        return value

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._raw

    def _whole(self) -> Document:
        return {name: self[name] for name in {**self._raw, **dict.fromkeys(super().__iter__())}}

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def __eq__(self, other: object) -> bool:
        if type(other) is Lazy and other._raw is self._raw:
            looked_at = {*super().__iter__(), *dict.__iter__(other)}
            return all(self.get(name) == other.get(name) for name in looked_at)
        return self._whole() == other

    __hash__ = None

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self._whole().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return self._whole().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self._whole().items()
