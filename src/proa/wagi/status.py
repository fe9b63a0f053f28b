"""What operators look at: a status page, metrics and readiness, on an address of their own."""

import math
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from proa.app import Health, Metrics, http
from proa.wagi.service import Service
from proa.wagi.statistics import BUCKETS, RouteStatistics, Statistics, quantile

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["application"]

_CACHED: Final = {"Cache-Control": "no-store"}
_POLICY: Final = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"}


def application(service: Service, health: Health, metrics: Metrics) -> web.Application:
    """Make the site: `/`, `/status.json`, `/metrics`, `/readyz`, `/livez` and `/healthz`."""
    health.add_readiness("workers", lambda: bool(service.workers))
    collector = _Collector()
    metrics.registry.register(collector)
    site = web.Application(middlewares=[_counting(service, collector)])
    http.add_operations(site, health, metrics)

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html", headers=_CACHED | _POLICY)

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(_document(service, await service.statistics()), headers=_CACHED)

    site.router.add_get("/", page)
    site.router.add_get("/status.json", status)
    return site


_PAGE: Final = resources.files("proa.wagi").joinpath("status.html").read_text(encoding="utf-8")


def _document(service: Service, statistics: Statistics) -> dict[str, Any]:
    configured = {handler.route: handler.module.digest for handler in service.handlers}
    routes = [*configured, *(route for route in statistics.routes if route not in configured)]
    return {
        "url": service.url,
        "workers": service.workers,
        "executors": statistics.executors,
        "waiting": statistics.waiting,
        "routes": [
            _route(route, configured.get(route), statistics.routes.get(route, RouteStatistics()))
            for route in routes
        ],
    }


def _route(route: str, digest: str | None, counts: RouteStatistics) -> dict[str, Any]:
    errors = sum(count for status, count in counts.statuses.items() if status >= 500)
    return {
        "route": route,
        "digest": digest,
        "requests": counts.requests,
        "errors": errors,
        "failures": counts.failures,
        "running": counts.running,
        "sent": counts.sent,
        "p50": _finite(quantile(counts, 0.5)),
        "p99": _finite(quantile(counts, 0.99)),
    }


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else seconds


class _Collector:
    """Shows the workers' counts to Prometheus."""

    def __init__(self) -> None:
        self.statistics = Statistics()

    def describe(self) -> Iterable["Metric"]:
        """Name nothing before there is something."""
        return ()

    def collect(self) -> Iterator["Metric"]:
        """Yield everything that was counted."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("proa_wagi_requests", "Requests.", labels=["route", "code"])
        failures = CounterMetricFamily(
            "proa_wagi_failures", "Requests that a handler failed.", labels=["route", "reason"]
        )
        sent = CounterMetricFamily("proa_wagi_sent_bytes", "Bytes of response bodies.", labels=["route"])
        received = CounterMetricFamily("proa_wagi_received_bytes", "Bytes of bodies.", labels=["route"])
        running = GaugeMetricFamily("proa_wagi_running_requests", "Requests under way.", labels=["route"])
        seconds = HistogramMetricFamily("proa_wagi_request_seconds", "Durations.", labels=["route"])
        for route, counts in self.statistics.routes.items():
            for code, count in counts.statuses.items():
                requests.add_metric([route, str(code)], count)
            for reason, count in counts.failures.items():
                failures.add_metric([route, reason], count)
            sent.add_metric([route], counts.sent)
            received.add_metric([route], counts.received)
            running.add_metric([route], counts.running)
            seconds.add_metric([route], _cumulative(counts), counts.seconds)
        yield from (requests, failures, sent, received, running, seconds)
        yield GaugeMetricFamily(
            "proa_wagi_executors", "Processes that run handlers.", self.statistics.executors
        )
        yield GaugeMetricFamily("proa_wagi_waiting_requests", "Requests in line.", self.statistics.waiting)


def _cumulative(counts: RouteStatistics) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts.buckets, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def _counting(service: Service, collector: _Collector) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/metrics":
            collector.statistics = await service.statistics()
        response: web.StreamResponse = await handler(request)
        return response

    return middleware
