"""How many requests were answered how, and how long that took: names and labels are kube-apiserver's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from proa.app import Metrics

from ._request_info import RequestInfo

if TYPE_CHECKING:
    from prometheus_client import Metric

_BUCKETS = (0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_KEPT = 4096
"""Combinations of labels that are told apart: clients choose paths, and must not fill our memory."""

_METHODS = {"update": "PUT", "create": "POST"}
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")
Labels = tuple[str, ...]
_Key = tuple[str, str, str, str, str, bool, bool, int]


class _Times:
    """A histogram: how many took how long."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0


class _Series:
    """Requests that were for the same and ended the same; their times are together with those that ended
    otherwise.
    """

    __slots__ = ("count", "times")

    def __init__(self, times: _Times) -> None:
        self.count = 0
        self.times = times


class Measurements:
    """Counts and times requests. A watch is counted when it ends, and not timed.

    Counting costs every request; what Prometheus wants to see is made when it asks.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._known: dict[_Key, _Series] = {}
        self._series: dict[tuple[Labels, int], _Series] = {}
        self._times: dict[Labels, _Times] = {}
        metrics.add(self)

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
        series = self._known.get(key)
        if series is None:
            series = self._new(key, info, code)
        series.count += 1
        if info.verb != "watch":
            times = series.times
            times.counts[bisect_left(_BUCKETS, seconds)] += 1
            times.total += seconds

    def _new(self, key: _Key, info: RequestInfo, code: int) -> _Series:
        told_apart = len(self._known) < _KEPT
        labels = _labels(info if told_apart else _OTHER, code)
        times = self._times.setdefault(labels, _Times())
        series = self._series.setdefault((labels, code), _Series(times))
        if told_apart:
            self._known[key] = series
        return series

    def collect(self) -> Iterator[Metric]:
        """What Prometheus sees. Called in a thread, while requests are counted."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        about = "Requests by what they were for and how they ended."
        requests = CounterMetricFamily("apiserver_request", about, labels=[*_LABELS, "code"])
        for (labels, code), series in list(self._series.items()):
            requests.add_metric([*labels, str(code)], series.count)
        yield requests
        about = "From a request to its answer."
        durations = HistogramMetricFamily("apiserver_request_duration_seconds", about, labels=_LABELS)
        for labels, times in list(self._times.items()):
            durations.add_metric(labels, _cumulative(times.counts), times.total)
        yield durations


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip((*map(str, _BUCKETS), "+Inf"), list(counts), strict=True):
        total += count
        found.append((bound, float(total)))
    return found


def _labels(info: RequestInfo, code: int) -> Labels:
    resource = info if code != 404 or info.plural == "" else _OTHER
    return (
        _METHODS.get(info.verb, info.verb.upper()) if info.verb in _VERBS else "OTHER",
        resource.group,
        resource.version,
        resource.plural,
        resource.subresource,
        _scope(resource),
    )


_OTHER = RequestInfo("get", "")
_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})


def _scope(info: RequestInfo) -> str:
    if not info.plural:
        return ""
    if info.name:
        return "resource"
    return "namespace" if info.namespace else "cluster"
