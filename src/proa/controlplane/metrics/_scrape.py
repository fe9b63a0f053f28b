"""A kubelet's `/metrics/resource`, read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)(?: (?P<at>\d+))?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

CPU, MEMORY, STARTED = "cpu_usage_seconds_total", "memory_working_set_bytes", "start_time_seconds"


class Container(NamedTuple):
    """A container of a pod."""

    namespace: str
    pod: str
    name: str


@dataclass(slots=True)
class Figures:
    """What one container or node has used.

    Attributes:
        cpu: Seconds of processor time since its start; None if that is not said.
        memory: Bytes of memory at the moment.
        started: When it started, in seconds since 1970; 0 if that is not said.
    """

    cpu: float | None = None
    memory: float | None = None
    started: float = 0.0


@dataclass(slots=True)
class Reading:
    """What a kubelet said at one moment.

    Attributes:
        at: The moment, in seconds since 1970.
        node: The node itself.
        containers: Its containers.
    """

    at: float
    node: Figures = field(default_factory=Figures)
    containers: dict[Container, Figures] = field(default_factory=dict)


def read(text: str, at: float) -> Reading:
    """Return what a kubelet's answer says; what is no sample, or of nothing known, is passed over."""
    reading = Reading(at)
    for name, labels, value in _samples(text):
        whose, _, what = name.partition("_")
        if whose == "node":
            figures = reading.node
        elif whose == "container" and {"namespace", "pod", "container"} <= labels.keys():
            key = Container(labels["namespace"], labels["pod"], labels["container"])
            figures = reading.containers.setdefault(key, Figures())
        else:
            continue
        if what == CPU:
            figures.cpu = value
        elif what == MEMORY:
            figures.memory = value
        elif what == STARTED:
            figures.started = value
    return reading


def _samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line.strip())
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if value >= 0:  # neither less than nothing nor NaN
            yield match["name"], dict(_LABEL.findall(match["labels"] or "")), value
