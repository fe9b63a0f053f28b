"""The kubelet: everything put together, started and stopped in order."""

import asyncio
import contextlib
import resource
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from proa.app import Health, Metrics, http, logs
from proa.kube import Client, Config
from proa.kubelet import _certificates, _host_facts, _node_certificates
from proa.kubelet._access import Access
from proa.kubelet._addresses import PodAddresses
from proa.kubelet._admission import Admission
from proa.kubelet._eviction import Evictor
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._image_collection import ImageCollector
from proa.kubelet._node_agent import NodeAgent
from proa.kubelet._node_certificates import Wanted
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._pod_context import Pauses, Services
from proa.kubelet._pods import Pods
from proa.kubelet._pressure import Pressure
from proa.kubelet._restarts import crash_loop
from proa.kubelet._server import application
from proa.kubelet._services import open_services
from proa.kubelet._settings import KubeletSettings
from proa.kubelet._shutdown import Shutdown
from proa.kubelet._static_pods import StaticPods
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)


class Kubelet:
    """A node agent that runs pods of WebAssembly modules for a Kubernetes API server.

    An async context manager: once entered the node is registered and its pods are being run. On leaving it,
    containers run on and are adopted by the next kubelet of the same data directory, with their logs, exit
    codes and restart counts; with `stop_pods_on_exit` they are killed. The Node object stays in any case.

    Entering waits for the API server for as long as it takes, and raises at once what waiting cannot cure.

    Args:
        settings: See `KubeletSettings`.
        config: The API server and who we are there.
        pauses: How long to wait before failures are tried again; Kubernetes' times by default.
        health: Where to add the kubelet's checks; of its own by default.
        metrics: Where to add its metrics; the same.

    Raises:
        proa.app.http.AddressError: The port cannot be listened on.
        KubeletError: A TLS file cannot be used, or the data directory.
        proa.wasm.WasmError: The sandboxes cannot be used; another kubelet may be using the data directory.
    """

    def __init__(
        self,
        settings: KubeletSettings,
        config: Config,
        *,
        pauses: Pauses | None = None,
        health: Health | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.port = settings.port
        self.health = health or Health()
        self.metrics = metrics or Metrics()
        self._config = config
        self._pauses = pauses or Pauses(restart=crash_loop(settings.max_container_restart_period))
        self._running = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as starting:
            await self._start(starting)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.__aexit__(kind, error, trace)

    async def _start(self, parts: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        _allow_many_files()
        await asyncio.to_thread(_private_directory, settings.data_dir)
        client = await parts.enter_async_context(Client(self._config, user_agent="proa-kubelet"))
        services = await parts.enter_async_context(open_services(settings, client, self._pauses))
        events = NodeEvents(services.recorder, settings.name)
        events.event("Starting", "Starting kubelet.")
        transition = settings.eviction_pressure_transition_period.total_seconds()
        pressure = Pressure(settings.thresholds, transition)
        admission = Admission(pressure, services.allocatable)
        addresses = PodAddresses(settings.pod_cidr)
        pods = Pods(services, settings.name, settings.data_dir / "pods", addresses, admission.refusal)
        self._observe(pods)
        served = await asyncio.to_thread(_certificates.ssl_context, settings, self._config.ca_data)
        site = application(pods, Access(client, settings.name), self.health, self.metrics, settings)
        listening = http.listen(
            site, host=settings.bind, port=settings.port, ssl_context=served, name="kubelet"
        )
        self.port = (await parts.enter_async_context(listening)).port
        agent = NodeAgent(client, settings, self.port, pressure, events)
        # Before the API server is waited for: what runs already must be looked after.
        await parts.enter_async_context(_background(self._work(services, pods, pressure, events)))
        await agent.register()
        await parts.enter_async_context(_background([agent.run(), *self._certificates(client, served)]))
        shutdown = Shutdown(settings.shutdown_plan, pods, agent, admission)
        parts.push_async_callback(shutdown.leave)
        await parts.enter_async_context(_background(shutdown.watching()))
        await pods.synchronized.wait()
        _log.info("kubelet ready", node=settings.name, port=self.port, pods=len(pods.workers()))

    def _work(
        self, services: Services, pods: Pods, pressure: Pressure, events: NodeEvents
    ) -> Iterator[Coroutine[None, None, None]]:
        settings = self.settings

        def observe() -> HostFacts:
            return _host_facts.observe(settings.data_dir)

        collector = ImageCollector(
            settings, observe, services.images, services.sandboxes, pods.workers, events
        )
        evictor = Evictor(
            observe,
            pressure,
            collector,
            pods.workers,
            events,
            every=self._pauses.pressure,
            most_grace=settings.eviction_max_pod_grace_period,
        )
        yield from (pods.run(), evictor.run(), collector.run())
        if (directory := settings.static_pod_path) is not None:
            every = settings.file_check_frequency.total_seconds()
            yield StaticPods(services.client, pods, directory, settings.name, every, events).run()

    def _certificates(self, client: Client, served: ssl.SSLContext) -> Iterator[Coroutine[None, None, None]]:
        settings, directory = self.settings, self.settings.data_dir / "pki"
        if self._config.client_certificate_file is not None and settings.rotate_certificates:
            yield _node_certificates.keep(client, Wanted.client(directory, settings.name))
        if settings.server_tls_bootstrap:
            wanted = Wanted.serving(directory, settings.name, settings.address)
            yield _node_certificates.keep(client, wanted, lambda: served.load_cert_chain(wanted.file))

    def _observe(self, pods: Pods) -> None:
        self.health.add_readiness("kubelet-pods", pods.synchronized.is_set)
        running = self.metrics.gauge("proa_kubelet_pods", "Pods on this node, by phase", ["phase"])
        for phase in ("Pending", "Running", "Succeeded", "Failed"):
            running.labels(phase).set_function(lambda phase=phase: pods.count(phase))  # type: ignore[misc]


@contextlib.asynccontextmanager
async def _background(work: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


def _private_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise KubeletError(f"kubelet: cannot use the data directory {path}: {error.strerror}") from error


def _allow_many_files() -> None:
    # Each running container costs some descriptors; the soft limit of most shells allows for 200 of them.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
