"""Columns of events, in both groups that serve them."""

from __future__ import annotations

from datetime import datetime

from proa.controlplane._json import Document

from ._columns import NAME, UNKNOWN, Column, age, computed, value


def _any(event: Document, *names: str) -> str:
    return str(next((event[name] for name in names if event.get(name)), ""))


def _about(event: Document) -> Document:
    about: Document = event.get("involvedObject") or event.get("regarding") or {}
    return about


def _first_seen(event: Document, now: datetime) -> str:
    at = _any(event, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime")
    return age(at, now) if at else UNKNOWN


def _last_seen(event: Document, now: datetime) -> str:
    at = _any(event.get("series") or {}, "lastObservedTime")
    at = at or _any(event, "lastTimestamp", "deprecatedLastTimestamp")
    return age(at, now) if at else _first_seen(event, now)


def _count(event: Document) -> int:
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or event.get("deprecatedCount") or 1)


def _object(event: Document) -> str:
    about = _about(event)
    kind, name = about.get("kind", "").lower(), about.get("name")
    return f"{kind}/{name}" if name else str(kind)


def _source(event: Document) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    component = source.get("component") or _any(event, "reportingController", "reportingComponent")
    instance = source.get("host") or _any(event, "reportingInstance")
    return f"{component}, {instance}" if instance else component


_COLUMNS = (
    Column("Last Seen", _last_seen),
    value("Type", "type"),
    value("Reason", "reason"),
    computed("Object", _object),
    computed("Subobject", lambda event: _about(event).get("fieldPath", ""), wide=True),
    computed("Source", _source, wide=True),
    computed("Message", lambda event: _any(event, "message", "note").strip()),
    Column("First Seen", _first_seen, wide=True),
    computed("Count", _count, wide=True),
    Column("Name", NAME.cell, wide=True),
)
COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Event"): _COLUMNS,
    ("events.k8s.io", "Event"): _COLUMNS,
}
