"""The kubelet: everything put together, started and stopped in order."""

import asyncio
import contextlib
import resource
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from proa.app import Health, Metrics, http, logs
from proa.kube import Api, Client, Config
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Pod, Service
from proa.kubelet import _admission, _certificates, _host_facts, _logind, _node, _node_certificates, _shutdown
from proa.kubelet._access import Access
from proa.kubelet._addresses import PodAddresses
from proa.kubelet._admission import Refusal
from proa.kubelet._bindles import Bindles
from proa.kubelet._cluster_dns import ClusterDns
from proa.kubelet._credential_providers import CredentialProviders
from proa.kubelet._eviction import Evictor
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._image_collection import ImageCollector
from proa.kubelet._images import Images
from proa.kubelet._log_writer import LogLimits
from proa.kubelet._node_agent import NodeAgent
from proa.kubelet._node_certificates import Wanted
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._pod_context import Pauses, PodContext, Services
from proa.kubelet._pods import Pods
from proa.kubelet._pressure import Pressure
from proa.kubelet._processors import Processors
from proa.kubelet._reference_watches import ReferenceWatches
from proa.kubelet._restarts import crash_loop
from proa.kubelet._sandbox_host import SandboxHost
from proa.kubelet._server import application
from proa.kubelet._settings import KubeletSettings
from proa.kubelet._static_pods import StaticPods
from proa.kubelet.errors import KubeletError
from proa.oci import DockerConfig, RegistryClient, SignaturePolicy
from proa.runtime import Recorder, Reflector

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
        self._shutting_down = False
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
        registries = RegistryClient(insecure_registries=settings.insecure_registries)
        keys = settings.image_signature_keys
        images = Images(
            settings.data_dir / "images",
            await parts.enter_async_context(registries),
            bindles=await parts.enter_async_context(Bindles.open(settings)),
            docker_config=DockerConfig(settings.docker_config) if settings.docker_config else None,
            providers=await asyncio.to_thread(_credential_providers, settings),
            policy=await SignaturePolicy.load(keys) if keys else None,
            parallel=settings.max_parallel_image_pulls,
        )
        opening = SandboxHost.open(settings.data_dir / "sandboxes", settings.data_dir / "modules")
        sandboxes = await parts.enter_async_context(opening)
        if settings.stop_pods_on_exit:
            parts.push_async_callback(sandboxes.shutdown)
        recorder = await parts.enter_async_context(Recorder(client, "kubelet", settings.name))
        machine = await asyncio.to_thread(_host_facts.observe, settings.data_dir)
        known_services = await parts.enter_async_context(Reflector(Api(client, Service)))
        services = Services(
            client=client,
            sandboxes=sandboxes,
            images=images,
            recorder=recorder,
            node_ip=settings.address,
            allocatable=_node.allocatable(machine, settings),
            pauses=self._pauses,
            log_limits=LogLimits(settings.log_bytes, settings.container_log_max_files),
            processors=await asyncio.to_thread(Processors.find),
            known_services=known_services.store,
            dns=ClusterDns(servers=settings.cluster_dns, domain=settings.cluster_domain),
            watches=await parts.enter_async_context(ReferenceWatches.open(client)),
        )
        addresses = PodAddresses(settings.pod_cidr)
        transition = settings.eviction_pressure_transition_period.total_seconds()
        pressure = Pressure(settings.thresholds, transition)
        events = NodeEvents(recorder, settings.name)
        events.event("Starting", "Starting kubelet.")
        pods = Pods(
            services,
            settings.name,
            settings.data_dir / "pods",
            addresses,
            lambda pod, others: self._refusal(pod, others, pressure, services.allocatable),
        )

        def observe() -> HostFacts:
            return _host_facts.observe(settings.data_dir)

        collector = ImageCollector(settings, observe, images, sandboxes, pods.workers, events)
        evictor = Evictor(
            observe,
            pressure,
            collector,
            pods.workers,
            events,
            every=self._pauses.pressure,
            most_grace=settings.eviction_max_pod_grace_period,
        )
        self._observe(pods)
        context = await asyncio.to_thread(_certificates.ssl_context, settings, self._config.ca_data)
        site = application(pods, Access(client, settings.name), self.health, self.metrics, settings)
        listening = http.listen(
            site, host=settings.bind, port=settings.port, ssl_context=context, name="kubelet"
        )
        self.port = (await parts.enter_async_context(listening)).port
        agent = NodeAgent(client, settings, self.port, pressure, events)
        # Before the API server is waited for: what runs already must be looked after.
        work = [pods.run(), evictor.run(), collector.run()]
        if settings.static_pod_path is not None:
            every = settings.file_check_frequency.total_seconds()
            work.append(
                StaticPods(client, pods, settings.static_pod_path, settings.name, every, events).run()
            )
        await parts.enter_async_context(_background(work))
        await agent.register()
        certificates = self._certificates(client, context)
        await parts.enter_async_context(_background([agent.run(), *certificates]))
        if plan := settings.shutdown_plan:
            parts.push_async_callback(self._leave, agent, pods)
            whole = sum(turn.seconds for turn in plan)
            watching = _logind.watch(
                whole, partial(self._shut_down, agent, pods), partial(self._go_on, agent)
            )
            await parts.enter_async_context(_background([watching]))
        await pods.synchronized.wait()
        _log.info("kubelet ready", node=settings.name, port=self.port, pods=len(pods.workers()))

    def _refusal(
        self, pod: Pod, others: list[PodContext], pressure: Pressure, allocatable: Mapping[str, Quantity]
    ) -> Refusal | None:
        if self._shutting_down:
            return _admission.SHUTTING_DOWN
        return _admission.under_pressure(pod, pressure.conditions) or _admission.beyond_room(
            pod, others, allocatable
        )

    async def _leave(self, agent: NodeAgent, pods: Pods) -> None:
        if await _shutdown.is_imminent():
            await self._shut_down(agent, pods)

    async def _shut_down(self, agent: NodeAgent, pods: Pods) -> None:
        self._shutting_down = True
        agent.not_ready = "node is shutting down"
        await agent.report_now()
        await _shutdown.end_pods(pods.workers, self.settings.shutdown_plan)
        await pods.settled()

    async def _go_on(self, agent: NodeAgent) -> None:
        self._shutting_down = False
        agent.not_ready = None
        await agent.report_now()

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


def _credential_providers(settings: KubeletSettings) -> CredentialProviders | None:
    configuration, programs = (
        settings.image_credential_provider_config,
        settings.image_credential_provider_bin_dir,
    )
    return CredentialProviders.load(configuration, programs) if configuration and programs else None


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
