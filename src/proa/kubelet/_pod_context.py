"""What the containers of one pod share, and what all pods of the node do."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from proa.app.backoff import Backoff
from proa.kube import Client
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import ObjectReference, Pod, PodSpec, Service
from proa.kubelet import _service_links
from proa.kubelet._cluster_dns import ClusterDns
from proa.kubelet._fields import PodFields
from proa.kubelet._images import Images
from proa.kubelet._log_writer import LogLimits
from proa.kubelet._pod_directory import PodDirectory
from proa.kubelet._processors import Processors
from proa.kubelet._reference_watches import ReferenceWatches
from proa.kubelet._restarts import CRASH_LOOP
from proa.kubelet._sandbox_host import SandboxHost
from proa.kubelet._service_account_tokens import Tokens
from proa.kubelet._standing import Amounts, requests
from proa.kubelet._volumes import ProvidedVolume
from proa.runtime import Recorder, Store
from proa.statemachine import Cell

IMAGE_PULL: Final = Backoff(initial=10.0, maximum=300.0, factor=2.0)
STORAGE: Final = 10.0
PRESSURE: Final = 10.0
_GRACE_PERIOD: Final = 30.0
_SERVICES_KNOWN_WITHIN: Final = 1.0
CONFIGURATION: Final = Backoff(initial=1.0, maximum=60.0, factor=2.0)


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How long to wait before what failed is tried again.

    Attributes:
        restart: Between restarts of a container; the first is at once.
        pull: After an image could not be had.
        configuration: After a config map, secret or volume was missing, or a container could not be created.
        storage: Seconds between looks at how much disk a pod with a limit takes.
        pressure: Seconds between looks at whether the node runs short of something.
    """

    restart: Backoff = CRASH_LOOP
    pull: Backoff = IMAGE_PULL
    configuration: Backoff = CONFIGURATION
    storage: float = STORAGE
    pressure: float = PRESSURE


@dataclass(frozen=True, kw_only=True)
class Services:
    """What all pods of a node use."""

    client: Client
    sandboxes: SandboxHost
    images: Images
    recorder: Recorder
    node_ip: str
    allocatable: Mapping[str, Quantity]
    pauses: Pauses
    watches: ReferenceWatches
    processors: Processors
    known_services: Store[Service]
    log_limits: LogLimits
    dns: ClusterDns


@dataclass(kw_only=True)
class PodContext:
    """One pod as its containers see it.

    Attributes:
        services: The node's.
        latest: The pod in its newest version.
        directory: Where it is kept.
        ip: Its address.
        gone: Set when the API server has the pod no longer: nothing more is waited for.
        changed: To be awaited after a container's status has changed; when it returns, that is on disk.
        volumes: Those that are there, by name.
        mounted: Set when they are all there.
        volumes_changed: Set when what the volumes hold may have become old.
    """

    services: Services
    latest: Cell[Pod]
    directory: PodDirectory
    ip: str
    changed: Callable[[], Awaitable[None]]
    volumes: dict[str, ProvidedVolume] = field(default_factory=dict)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    mounted: asyncio.Event = field(default_factory=asyncio.Event)
    volumes_changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Make what belongs to this pod alone."""
        self.tokens = Tokens(self.services.client)
        self._asked: tuple[PodSpec, Amounts] | None = None

    @property
    def pod(self) -> Pod:
        """The newest version."""
        return self.latest.value

    @property
    def asked(self) -> Amounts:
        """What it asks of the node: kept, for each pod that comes is compared with all."""
        spec = self.pod.spec
        if self._asked is None or self._asked[0] is not spec:
            self._asked = spec, requests(self.pod)
        return self._asked[1]

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.pod.metadata.uid or ""

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return self.pod.metadata.namespace or ""

    @property
    def title(self) -> str:
        """The pod as Kubernetes' messages call it."""
        return f"{self.pod.metadata.name}_{self.namespace}({self.uid})"

    async def service_links(self) -> dict[str, str]:
        """The variables that tell its containers of Services, as far as they are known by now."""
        known = self.services.known_services
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SERVICES_KNOWN_WITHIN):
                await known.ready()
        links = self.pod.spec.enable_service_links is not False
        return _service_links.variables(known, self.namespace, links=links)

    @property
    def grace_period(self) -> float:
        """How long a container may take to end once it is told to, in seconds."""
        asked, usual = (
            self.pod.metadata.deletion_grace_period_seconds,
            self.pod.spec.termination_grace_period_seconds,
        )
        return next((seconds for seconds in (asked, usual) if seconds is not None), _GRACE_PERIOD)

    @property
    def fields(self) -> PodFields:
        """The pod's facts for the downward API."""
        services = self.services
        return PodFields(
            pod=self.pod, pod_ip=self.ip, host_ip=services.node_ip, allocatable=services.allocatable
        )

    def event(
        self,
        reason: str,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002 - the field's name
        field_path: str | None = None,
    ) -> None:
        """Record an Event about the pod, or about the part of it that the field path names."""
        metadata = self.pod.metadata
        regarding = ObjectReference(
            api_version="v1",
            kind="Pod",
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            field_path=field_path,
        )
        self.services.recorder.event(regarding, reason=reason, message=message, type=type)
