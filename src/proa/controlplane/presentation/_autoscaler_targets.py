"""What an autoscaler's metrics are and should be, in a word each: kubectl's column TARGETS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import Document

_MOST = 2
_UNKNOWN = "<unknown>"


def targets(scaler: Document) -> str:
    """Return the current and the wanted value of the first metrics."""
    specs = scaler["spec"].get("metrics", ())
    known = (scaler.get("status") or {}).get("currentMetrics") or []
    told = list(_each(specs, known))
    if not told:
        return "<none>"
    more = f" + {len(told) - _MOST} more..." if len(told) > _MOST else ""
    return ", ".join(told[:_MOST]) + more


def _name(source: Document) -> tuple[Any, ...]:
    return source.get("name"), source.get("container"), (source.get("metric") or {}).get("name")


def _each(specs: Any, known: list[Document]) -> Iterator[str]:
    for spec in specs:
        kind = spec.get("type", "")
        key = kind[:1].lower() + kind[1:]
        source, target = spec.get(key) or {}, (spec.get(key) or {}).get("target") or {}
        same = (one[key] for one in known if one.get(key) and _name(one[key]) == _name(source))
        status: Document = next(same, {})
        current = status.get("current") or {}
        name = f"{source['name']}: " if "name" in source else ""
        if "averageUtilization" in target:
            share = current.get("averageUtilization")
            yield f"{name}{_UNKNOWN if share is None else f'{share}%'}/{target['averageUtilization']}%"
        elif "averageValue" in target:
            averaged = " (avg)" if kind in {"Object", "External"} else ""
            yield f"{name}{current.get('averageValue', _UNKNOWN)}/{target['averageValue']}{averaged}"
        else:
            yield f"{name}{current.get('value', _UNKNOWN)}/{target.get('value', '<auto>')}"
