"""Objects that cannot be read: passed over and reported, so that one does not hide all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from proa.kube.codec import decode
from proa.kube.errors import DecodeError
from proa.kube.models import Resource


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that a list or watch has passed over."""

    kind: str
    name: str
    namespace: str | None
    resource_version: str
    error: DecodeError
    """What is wrong with it, and at which JSON path."""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"passed over {self.kind} {name}: {self.error}"


Report: TypeAlias = Callable[[Undecodable], None]


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str
    namespace: str | None = None


class _Marker(msgspec.Struct):
    metadata: _Metadata


def identify(data: msgspec.Raw, type_: type[Resource], error: DecodeError) -> Undecodable:
    """Say which object could not be read; raises the error where even that cannot be read."""
    try:
        found = decode(data, _Marker).metadata
    except DecodeError:
        raise error from None
    return Undecodable(type_.resource.kind, found.name, found.namespace, found.resource_version, error)
