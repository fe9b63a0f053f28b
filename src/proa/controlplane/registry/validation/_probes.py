"""Probes, and what is done after a container's start and before its end. Pure."""

from __future__ import annotations

import re

from proa.controlplane._errors import Cause, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import one_of

from ._parts import not_negative, number_or_name, only_one

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HEADER = re.compile(r"[-A-Za-z0-9]+")


def running(container: Document, path: str, spec: Document) -> list[Cause]:
    """What is done to a container while it runs."""
    found: list[Cause] = []
    grace = spec.get("terminationGracePeriodSeconds")
    for event in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(event)
        if handler is not None:
            found += _handler(
                handler, f"{path}.lifecycle.{event}", ("exec", "httpGet", "tcpSocket", "sleep"), grace
            )
    for name in PROBES:
        if name in container:
            found += _probe(name, container[name], f"{path}.{name}")
    return found


def _probe(name: str, probe: Document, path: str) -> list[Cause]:
    found = _handler(probe, path, ("exec", "httpGet", "tcpSocket", "grpc"), None)
    found += not_negative(
        probe,
        path,
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    )
    grace, at = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        found.append(invalid_value(at, grace, "must be greater than 0"))
    if name == "readinessProbe":
        if grace is not None:
            found.append(invalid_value(at, grace, "must not be set for readinessProbes"))
    elif probe.get("successThreshold", 1) != 1:
        found.append(invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _handler(value: Document, path: str, kinds: tuple[str, ...], grace: int | None) -> list[Cause]:
    found = only_one(value, kinds, path, "may not specify more than 1 handler type")
    first = next((kind for kind in kinds if kind in value), None)
    if first is None:
        return [required(path, "must specify a handler type")]
    action, at = value[first], f"{path}.{first}"
    if first == "exec":
        return found + ([] if action.get("command") else [required(f"{at}.command")])
    if first == "sleep":
        seconds = action.get("seconds", 0)
        if grace is not None and not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            found.append(invalid_value(at, seconds, why))
        return found
    found += number_or_name(action.get("port"), f"{at}.port")
    if first == "httpGet":
        found += one_of("HTTP", "HTTPS")(action.get("scheme"), f"{at}.scheme")
        for header in action.get("httpHeaders", ()):
            if not _HEADER.fullmatch(header.get("name", "")):
                why = "must be the name of a header: letters, digits and '-'"
                found.append(invalid_value(f"{at}.httpHeaders", header.get("name", ""), why))
    return found
