"""Which columns the tables of which kinds have. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    _columns_cluster,
    _columns_events,
    _columns_network,
    _columns_policy,
    _columns_storage,
    _columns_workloads,
)
from ._columns import CREATED, NAME, Column

_ROOMS: tuple[Mapping[tuple[str, str], tuple[Column, ...]], ...] = (
    _columns_workloads.COLUMNS,
    _columns_cluster.COLUMNS,
    _columns_network.COLUMNS,
    _columns_storage.COLUMNS,
    _columns_policy.COLUMNS,
    _columns_events.COLUMNS,
)


def columns_of(group: str, kind: str) -> tuple[Column, ...]:
    """The columns of a kind that is not a custom one."""
    return next((room[group, kind] for room in _ROOMS if (group, kind) in room), (NAME, CREATED))
