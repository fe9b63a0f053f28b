"""Lists, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from proa.kube.codec import decode, decode_exactly
from proa.kube.core.undecodable import Report, identify
from proa.kube.errors import DecodeError
from proa.kube.models import DynamicObject, Resource
from proa.kube.models.meta_v1 import ListMeta

K = TypeVar("K", bound=Resource)
# Up to this size a list is read in one go, in some 10 ms: it is faster so than item by item.
AT_ONCE = 4 * 2**20
# Items of this size together are read before others may have their turn.
STEP = 2**19


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


def read_page(data: bytes, type_: type[K], report: Report | None = None) -> Page[K]:
    """Read a list of objects.

    Args:
        data: the answer's body.
        type_: what its items are.
        report: called for every item that cannot be read; the item is then left out.

    Raises:
        DecodeError: this is no list, or without `report` one of its items is not of the type.
    """
    return next(page for page in page_steps(data, type_, report) if page is not None)


def page_steps(data: bytes, type_: type[K], report: Report | None = None) -> Iterator[Page[K] | None]:
    """Read a list as `read_page` does, in steps of some 10 ms between which an event loop can go on.

    Yields None after each step, and in the end the page.

    A server may send all it has in one page, whatever limit it was asked for.
    """
    if len(data) <= AT_ONCE and not issubclass(type_, DynamicObject):
        try:
            found: _List[K] = decode_exactly(data, _list_type(type_))
        except msgspec.ValidationError:
            pass  # nulls somewhere, or an item of another shape: all else can be read
        else:
            yield _page(found.items, found.metadata)
            return
    yield None  # putting together the answer may have taken long already
    yield from _item_by_item(data, type_, report)


def _item_by_item(data: bytes, type_: type[K], report: Report | None) -> Iterator[Page[K] | None]:
    rough = decode(data, _Rough)
    items = []
    read = 0
    for index, item in enumerate(rough.items or ()):
        try:
            items.append(decode(item, type_))
        except DecodeError as error:
            located = DecodeError(f"{error}, in items[{index}] of a list")
            if report is None:
                raise located from error
            report(identify(item, type_, located))
        read += len(item)
        if read >= STEP:
            read = 0
            yield None
    yield _page(items, decode(rough.metadata, ListMeta))


def _page(items: list[K], metadata: ListMeta) -> Page[K]:
    return Page(items, metadata.resource_version or "", metadata.continue_ or None)


@cache
def _list_type(type_: type[Any]) -> Any:
    return _List[type_]  # type: ignore[valid-type]
