"""What nodes and pods used over the last hour, by `metrics.k8s.io`."""

import asyncio
import math
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from proa.app import logs
from proa.kube import Client, KubeError
from proa.kube.errors import NotFoundError
from proa.kube.models import Quantity

__all__ = ("SAMPLES", "SECONDS", "History", "Usage")

SECONDS: Final = 15.0
SAMPLES: Final = 240
_API: Final = "/apis/metrics.k8s.io/v1beta1"

log = logs.get_logger(__name__)

Sample = tuple[float, float]
"""CPUs and bytes of memory."""


class History:
    """Samples of many things, one in each period, each for as long as it exists. Pure."""

    def __init__(self, samples: int = SAMPLES) -> None:
        self._samples = samples
        self._series: dict[str, tuple[array[float], array[float]]] = {}
        self.length = 0

    def add(self, now: dict[str, Sample]) -> None:
        """Add what was measured; what is missing has no more a history once it has been gone for long."""
        self.length = min(self.length + 1, self._samples)
        for key in now.keys() - self._series.keys():
            blank = [math.nan] * (self.length - 1)
            self._series[key] = array("f", blank), array("f", blank)
        for key in list(self._series):
            for series, value in zip(self._series[key], now.get(key, (math.nan, math.nan)), strict=True):
                series.append(value)
                del series[: -self._samples]
            if all(math.isnan(value) for value in self._series[key][0]):
                del self._series[key]

    def latest(self) -> dict[str, list[float]]:
        """Return the newest sample of each thing that has one."""
        return {
            key: [cpu[-1], memory[-1]]
            for key, (cpu, memory) in self._series.items()
            if not math.isnan(cpu[-1])
        }

    def of(self, key: str) -> dict[str, list[float | None]]:
        """Return the history of a thing, oldest first; None where there was no sample."""
        cpu, memory = self._series.get(key, (array("f"), array("f")))
        return {"cpu": list(map(_known, cpu)), "memory": list(map(_known, memory))}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


class Usage:
    """Asks a cluster every fifteen seconds what nodes and pods use.

    Attributes:
        history: by `nodes/NAME` and `pods/NAMESPACE/NAME`.
        problem: why there is nothing, in a line; empty where there is.
    """

    def __init__(self, client: Client, changed: Callable[[], None] = lambda: None) -> None:
        self.history = History()
        self.problem = "nothing measured yet"
        self.sampled_at = 0.0
        self._client = client
        self.changed = changed

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            try:
                self.history.add(await self._ask())
                self.problem = ""
            except NotFoundError:
                self.problem = "the cluster serves no metrics.k8s.io"
            except KubeError as error:
                self.problem = str(error)
            except (ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
                self.problem = f"metrics.k8s.io makes no sense: {error!r}"
            self.sampled_at = time.time()
            self.changed()
            await asyncio.sleep(SECONDS)

    async def _ask(self) -> dict[str, Sample]:
        nodes, pods = await asyncio.gather(*map(self._list, ("nodes", "pods")))
        return dict([*_samples("nodes", nodes), *_samples("pods", pods)])

    async def _list(self, what: str) -> list[dict[str, Any]]:
        answer = await self._client.request_raw("GET", f"{_API}/{what}", accept="application/json")
        items: list[dict[str, Any]] = msgspec.json.decode(answer.body)["items"]
        return items


def _samples(what: str, items: list[dict[str, Any]]) -> Iterator[tuple[str, Sample]]:
    for item in items:
        meta = item["metadata"]
        key = "/".join(part for part in (what, meta.get("namespace", ""), meta["name"]) if part)
        used = [item["usage"]] if what == "nodes" else [each["usage"] for each in item["containers"]]
        yield key, (_sum(used, "cpu"), _sum(used, "memory"))


def _sum(used: list[dict[str, str]], resource: str) -> float:
    return sum(float(Quantity(each[resource])) for each in used if resource in each)
