"""What controllers tell Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from proa.app import Metrics

_OF: WeakKeyDictionary[Metrics, ControllerMetrics] = WeakKeyDictionary()


class ControllerMetrics:
    """The metrics of all controllers of one registry, told apart by the label `controller`."""

    def __init__(self, metrics: Metrics) -> None:
        label = ("controller",)
        self._depth = metrics.gauge(
            "proa_controller_queue_depth", "Objects that wait to be reconciled, delayed ones included.", label
        )
        self._running = metrics.gauge(
            "proa_controller_running", "Objects that are being reconciled at this moment.", label
        )
        self._runs = metrics.counter(
            "proa_controller_reconciles_total", "Reconciliations that ended.", ("controller", "result")
        )
        self._took = metrics.histogram(
            "proa_controller_reconcile_seconds", "How long reconciliations took.", label
        )
        self._waited = metrics.histogram(
            "proa_controller_queue_seconds",
            "From the first reason to reconcile an object to the beginning of that, delays included.",
            label,
        )

    @classmethod
    def of(cls, metrics: Metrics) -> ControllerMetrics:
        """Return the one for a registry."""
        if metrics not in _OF:
            _OF[metrics] = cls(metrics)
        return _OF[metrics]

    def follow(self, controller: str, waiting: Callable[[], float], running: Callable[[], float]) -> None:
        """Ask for the gauges' values when they are read."""
        self._depth.labels(controller).set_function(waiting)
        self._running.labels(controller).set_function(running)

    def ran(self, controller: str, waited: float, took: float, *, failed: bool) -> None:
        """Count one run."""
        self._runs.labels(controller, "error" if failed else "success").inc()
        self._took.labels(controller).observe(took)
        self._waited.labels(controller).observe(waited)
