"""How many requests were answered how, and how long that took: names and labels are kube-apiserver's."""

from __future__ import annotations

from collections.abc import Callable

from proa.app import Metrics

from ._request_info import RequestInfo

_BUCKETS = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_KEPT = 4096
"""Combinations of labels that are told apart: clients choose paths, and must not fill our memory."""

_METHODS = {"update": "PUT", "create": "POST"}
Series = tuple[Callable[[], None], Callable[[float], None]]


class Measurements:
    """Counts and times requests. A watch is counted when it ends, and not timed."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("verb", "group", "version", "resource", "subresource", "scope")
        self._requests = metrics.counter(
            "apiserver_request_total", "Requests by what they were for and how they ended.", (*labels, "code")
        )
        self._durations = metrics.histogram(
            "apiserver_request_duration_seconds", "From a request to its answer.", labels, _BUCKETS
        )
        self._series: dict[tuple[str, str, str, str, str, bool, bool, int], Series] = {}

    def observe(self, info: RequestInfo, code: int, seconds: float) -> None:
        """Counts a request that was answered."""
        key = (
            info.verb,
            info.group,
            info.version,
            info.plural,
            info.subresource,
            bool(info.name),
            bool(info.namespace),
            code,
        )
        series = self._series.get(key)
        if series is None:
            series = self._make(info if len(self._series) < _KEPT else _OTHER, code)
            if len(self._series) < _KEPT:
                self._series[key] = series
        count, time = series
        count()
        if info.verb != "watch":
            time(seconds)

    def _make(self, info: RequestInfo, code: int) -> Series:
        resource = info if code != 404 or info.plural == "" else _OTHER
        labels = (
            _METHODS.get(info.verb, info.verb.upper()) if info.verb in _VERBS else "OTHER",
            resource.group,
            resource.version,
            resource.plural,
            resource.subresource,
            _scope(resource),
        )
        return self._requests.labels(*labels, code).inc, self._durations.labels(*labels).observe


_OTHER = RequestInfo("get", "")
_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})


def _scope(info: RequestInfo) -> str:
    if not info.plural:
        return ""
    if info.name:
        return "resource"
    return "namespace" if info.namespace else "cluster"
