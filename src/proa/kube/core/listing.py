"""Lists, page by page."""

from __future__ import annotations

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
    try:
        if issubclass(type_, DynamicObject):
            return _read_one_by_one(data, type_, report)
        found: _List[K] = decode_exactly(data, _list_type(type_))
    except msgspec.ValidationError:
        # Nulls somewhere, or an item of another shape: all else is still read fast.
        return _read_one_by_one(data, type_, report)
    return Page(found.items, found.metadata.resource_version or "", found.metadata.continue_ or None)


def _read_one_by_one(data: bytes, type_: type[K], report: Report | None) -> Page[K]:
    rough = decode(data, _Rough)
    metadata = decode(rough.metadata, ListMeta)
    items = []
    for index, item in enumerate(rough.items or ()):
        try:
            items.append(decode(item, type_))
        except DecodeError as error:
            located = DecodeError(f"{error}, in items[{index}] of a list")
            if report is None:
                raise located from error
            report(identify(item, type_, located))
    return Page(items, metadata.resource_version or "", metadata.continue_ or None)


@cache
def _list_type(type_: type[Any]) -> Any:
    return _List[type_]  # type: ignore[valid-type]
