"""Lists, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from proa.kube.codec import decode, decode_exactly
from proa.kube.errors import DecodeError
from proa.kube.models import Resource
from proa.kube.models.meta_v1 import ListMeta

K = TypeVar("K", bound=Resource)


@dataclass(frozen=True, slots=True)
class Page(Generic[K]):
    """A part of a list, and how to go on."""

    items: list[K]
    resource_version: str
    """The version to watch from once all pages are read."""
    continue_: str | None
    """The token of the next page; None on the last one."""


class _List(msgspec.Struct, Generic[K], gc=False):
    metadata: ListMeta
    items: list[K]


class _Rough(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    items: list[msgspec.Raw] | None = None


def read_page(data: bytes, type_: type[K]) -> Page[K]:
    """Read a list of objects; raises DecodeError as `decode`, with the place in the list."""
    try:
        found: _List[K] = decode_exactly(data, _list_type(type_))
    except msgspec.ValidationError:
        # Nulls somewhere: what has none is still read fast.
        rough = decode(data, _Rough)
        items = [_item(item, index, type_) for index, item in enumerate(rough.items or ())]
        found = _List(decode(rough.metadata, ListMeta), items)
    return Page(found.items, found.metadata.resource_version or "", found.metadata.continue_ or None)


def _item(data: msgspec.Raw, index: int, type_: type[K]) -> K:
    try:
        return decode(data, type_)
    except DecodeError as error:
        raise DecodeError(f"{error}, in items[{index}] of a list") from error


@cache
def _list_type(type_: type[Any]) -> Any:
    return _List[type_]  # type: ignore[valid-type]
