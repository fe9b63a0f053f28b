"""Whether a status is worth writing. Pure."""

from __future__ import annotations

from typing import Any

import msgspec


def same(one: msgspec.Struct, other: msgspec.Struct) -> bool:
    """Tell whether two statuses say the same: servers drop zeros and empty lists, so these do not count."""
    return _said(one) == _said(other)


def _said(status: msgspec.Struct) -> dict[str, Any]:
    values = ((name, getattr(status, name)) for name in status.__struct_fields__)
    return {name: value for name, value in values if value}
