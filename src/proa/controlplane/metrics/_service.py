"""Asks the kubelets what is used, when somebody wants to know."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable

import aiohttp
from aiohttp import web

from proa.app import logs
from proa.controlplane._errors import StatusError, not_found
from proa.controlplane._json import Document
from proa.controlplane.registry import Registry, Resource
from proa.controlplane.serving import _responses
from proa.controlplane.serving._dispatcher import Answer, Call
from proa.controlplane.serving._listing import ListOptions
from proa.controlplane.serving._logs import kubelet_address
from proa.controlplane.storage import Stored

from ._scrape import Reading, read
from ._usage import API_VERSION, node_metrics, pod_metrics

log = logs.get_logger(__name__)

FRESH = 10.0
"""Seconds for which a reading is good enough."""
APART = 1.0
"""Seconds between two readings where there is none to compare with."""
FORGOTTEN = 90.0
"""Seconds after which a reading is too old to compare with."""
PATIENCE = 5.0
"""Seconds that a kubelet has to answer."""
LARGEST = 16 * 2**20
"""Bytes of an answer that are read at most."""


class Computed(Resource):
    """A resource whose objects are made when they are asked for."""

    is_stored = False


RESOURCES: list[Resource] = [
    Computed(
        group="metrics.k8s.io",
        version="v1beta1",
        kind=kind,
        plural=plural,
        singular="",
        namespaced=plural == "pods",
        verbs=("get", "list"),
        type_name=None,
        storage=f"{plural}.metrics.k8s.io",
    )
    for kind, plural in (("NodeMetrics", "nodes"), ("PodMetrics", "pods"))
]


class MetricsService:
    """Answers for `metrics.k8s.io`.

    Kubelets are asked only when somebody asks here, and not again within ten seconds: a cluster whose use
    nobody looks at has nothing to do. The first answer takes a second, as a rate needs two readings. A
    kubelet that does not answer is left out.

    Args:
        registry: The nodes and pods.
        context: Makes what identifies the API server to kubelets.
    """

    def __init__(self, registry: Registry, context: Callable[[], ssl.SSLContext]) -> None:
        self._registry = registry
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._looking = asyncio.Lock()
        self._readings: dict[str, tuple[Reading | None, Reading]] = {}

    def answers(self) -> dict[str, Answer]:
        """Who answers for which kind."""
        return {"NodeMetrics": self.nodes, "PodMetrics": self.pods}

    async def close(self) -> None:
        """End the connections to kubelets."""
        if self._session is not None:
            await self._session.close()

    async def nodes(self, call: Call) -> web.Response:
        """What nodes use."""
        return await self._answer(call, "nodes", self._of_node)

    async def pods(self, call: Call) -> web.Response:
        """What pods use."""
        return await self._answer(call, "pods", self._of_pod)

    async def _answer(self, call: Call, plural: str, of: Callable[[Stored], Document | None]) -> web.Response:
        info, options = call.info, ListOptions.parse(call.info.query, call.resource)
        await self._look()
        stored = self._registry.store.scan(plural, info.namespace or None)
        if info.name:
            found = (of(one) for one in stored if one.key.name == info.name)
            document = next(found, None)
            if document is None:
                raise not_found(call.resource.qualified, info.name)
            return _responses.json(document)
        selected = (one for one in stored if not options.labels or options.labels.matches(one.labels))
        made = (document for one in selected if (document := of(one)) is not None)
        items = [one for one in made if options.fields.matches(call.resource.select_fields(one))]
        head = {"kind": call.resource.list_kind, "apiVersion": API_VERSION, "metadata": {}}
        return _responses.json({**head, "items": items})

    def _of_node(self, stored: Stored) -> Document | None:
        before, now = self._readings.get(stored.key.name, (None, None))
        if before is None or now is None:
            return None
        return node_metrics(stored.key.name, stored.labels, before, now)

    def _of_pod(self, stored: Stored) -> Document | None:
        before, now = self._readings.get(stored.document()["spec"].get("nodeName", ""), (None, None))
        if before is None or now is None:
            return None
        return pod_metrics(stored.key.namespace, stored.key.name, stored.labels, before, now)

    async def _look(self) -> None:
        """Have readings of all nodes that are fresh, and others to compare with."""
        async with self._looking:
            nodes = {one.key.name for one in self._registry.store.scan("nodes")}
            self._readings = {name: known for name, known in self._readings.items() if name in nodes}
            await self._read(name for name in nodes if not self._is_fresh(name))
            lonely = [name for name, (before, _) in self._readings.items() if before is None]
            if lonely:
                await asyncio.sleep(APART)
                await self._read(lonely)

    def _is_fresh(self, name: str) -> bool:
        before, now = self._readings.get(name, (None, None))
        return before is not None and now is not None and time.time() - now.at < FRESH

    async def _read(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(self._read_one(name) for name in names))

    async def _read_one(self, name: str) -> None:
        try:
            url = f"{kubelet_address(self._registry, name)}/metrics/resource"
            async with self._kubelets().get(url) as answer:
                answer.raise_for_status()
                text = await _text(answer)
        except (aiohttp.ClientError, TimeoutError, StatusError) as error:
            self._readings.pop(name, None)
            log.debug("a kubelet does not say what is used", node=name, error=str(error))
            return
        now = read(text, time.time())
        before = self._readings[name][1] if name in self._readings else None
        usable = before is not None and 0 < now.at - before.at < FORGOTTEN
        self._readings[name] = (before if usable else None, now)

    def _kubelets(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._context())
            timeout = aiohttp.ClientTimeout(total=PATIENCE)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session


async def _text(answer: aiohttp.ClientResponse) -> str:
    """The body, as far as it is not absurdly long."""
    body = bytearray()
    async for piece in answer.content.iter_chunked(LARGEST):
        body += piece
        if len(body) >= LARGEST:
            break
    return body.decode(errors="replace")
