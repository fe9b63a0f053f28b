"""Prometheus metrics, one registry an application, so that two in one process (or test) never collide."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

__all__ = ["Metrics"]

_DEFAULT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Collects(Protocol):
    """Says what there is to say, in families of metrics; perhaps called in a thread."""

    def collect(self) -> "Iterable[Metric]":
        """What is so now."""


class Metrics:
    """A registry of counters, gauges and histograms, with the process's own CPU, memory and file figures.

    Names follow Prometheus' rules: `proa_` first, base units (seconds, bytes), `_total` for counters.
    A name can be taken once; a second time raises `ValueError`.
    """

    def __init__(self) -> None:
        self._registry: CollectorRegistry | None = None
        self._waiting: list[Collects] = []
        self._has_process_metrics = False

    @property
    def registry(self) -> "CollectorRegistry":
        """The prometheus_client registry, for collectors that this class does not offer."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry

            self._registry = CollectorRegistry(auto_describe=True)
        while self._waiting:
            self._registry.register(self._waiting.pop(0))
        return self._registry

    def add(self, collector: "Collects") -> None:
        """Have somebody say all there is to say of something whenever it is asked for.

        Costs nothing before that: prometheus_client is not imported for it.
        """
        self._waiting.append(collector)

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> "Counter":
        """Declare something that only grows."""
        from prometheus_client import Counter

        return Counter(name, description, labels, registry=self.registry)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> "Gauge":
        """Declare something that goes up and down."""
        from prometheus_client import Gauge

        return Gauge(name, description, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        description: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = _DEFAULT_BUCKETS,
    ) -> "Histogram":
        """Declare a distribution; the default buckets suit requests, from 1 ms to 10 s."""
        from prometheus_client import Histogram

        return Histogram(name, description, labels, registry=self.registry, buckets=buckets)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type, in the format that an Accept header asks for.

        It reads files (the process's own figures): call it in a thread.
        """
        from prometheus_client import PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        if not self._has_process_metrics:
            self._has_process_metrics = True
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
