"""The embedded API server: settings, and the context manager that runs it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from proa.app import Health, Metrics, http
from proa.app.settings import setting
from proa.controlplane.schema import definitions
from proa.controlplane.schema._definitions import zero_omitted

from ._aggregation import RoleAggregator
from ._bootstrap import bootstrap, objects
from ._certifier import Certifier
from ._expiry import EventExpiry
from ._namespaces import NamespaceCleaner
from .admission import (
    Chain,
    MutatingPolicies,
    Policies,
    QuotaKeeper,
    Versions,
    WebhookClient,
    Webhooks,
    admission,
)
from .customresources import DEFINITIONS, Conversions, CustomResources
from .metrics import RESOURCES as METRICS
from .metrics import MetricsService
from .registry import Catalogue, Registry, catalogue
from .registry._cron import zones
from .security import Authenticator, Authoriser, Pki, TokenIssuer, User, load_tokens
from .security._pki import ADMINISTRATOR, Issued, begin_making, kubeconfig, write_private
from .serving import Dispatcher
from .serving._audit import AuditLog
from .serving._binding import BindingService
from .serving._bodies import MAX_BODY
from .serving._dispatcher import Intercept
from .serving._eviction import EvictionService
from .serving._logs import LogService
from .serving._measurements import Measurements
from .serving._objects import ObjectService
from .serving._paths import PathService
from .serving._proxy import ProxyService
from .serving._reviews import ReviewService
from .serving._streams import StreamService
from .serving._subresources import SubresourceService
from .serving._token_requests import TokenRequestService
from .serving._watch import WatchService
from .storage import Store

SERVICE_ADDRESS = "127.67.0.1"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - recognised here, not bound


@dataclass(frozen=True, kw_only=True)
class ApiServerSettings:
    """How an API server runs."""

    data_dir: Path = setting(Path(".proa"), help="where objects, certificates and kubeconfigs are kept")
    bind: str = setting("127.0.0.1", help="address to listen on")
    port: int = setting(6443, help="port to listen on; 0 picks a free one")
    token_auth_file: Path | None = setting(None, help='file with lines of token,user,uid,"group1,group2"')
    service_account_admission: bool = setting(
        False, help="give every pod its service account, and a volume with the account's token"
    )
    audit_log: Path | None = setting(None, help="file for a line about each request; by default, none")
    audit_log_megabytes: int = setting(16, help="size at which the audit log is begun anew; one old is kept")

    def validate(self) -> Iterable[str]:
        """What is wrong with the settings."""
        if not 0 <= self.port <= 65535:
            yield "port: must be from 0 to 65535"
        if self.audit_log_megabytes < 1:
            yield "audit_log_megabytes: must be at least 1"


class ApiServer:
    """A Kubernetes API server on one SQLite file. Use as an async context manager; entered, it is ready.

    Guarantees: a write that was answered survives a crash of the process or the machine; readers see
    writes in one order. Leaving ends watches, answers what is under way, and commits all that was
    accepted.

    Args:
        settings: Where state is kept, and where to listen.
        health: The checks of the process that the server is part of.
        metrics: The metrics of that process.
        intercept: Stands before all requests; `testing` puts its faults there.
        lean: Make missing certificates in a copy of this process, which saves memory. Only for programs that
            are nothing but a server: a process of several threads is not well copied.

    Raises (on entering):
        ControlPlaneError: The state directory is unusable, damaged, or used by another server.
        proa.app.http.AddressError: The address or port cannot be had.
    """

    def __init__(
        self,
        settings: ApiServerSettings,
        *,
        health: Health | None = None,
        metrics: Metrics | None = None,
        intercept: Intercept | None = None,
        lean: bool = False,
    ) -> None:
        self.settings = settings
        self._lean = lean
        self.health = health or Health()
        self.metrics = metrics or Metrics()
        self.store: Store
        self.watches: WatchService
        self._intercept = intercept
        self._stack = AsyncExitStack()
        self._server: http.Server
        self._pki: Pki
        self._kubeconfigs: dict[tuple[str, tuple[str, ...]], Path] = {}

    @property
    def url(self) -> str:
        """Where clients on this machine reach the server."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.port

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.settings.data_dir / "kubeconfig"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The files of the server's certificate and key, for what else is served at its addresses."""
        directory = self.settings.data_dir / "pki"
        return directory / "apiserver.crt", directory / "apiserver.key"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate for a user and groups; takes some milliseconds, once for
        each.

        The file is readable by its owner only, and replaced when the server starts anew on another port.
        """
        key = (user, tuple(groups))
        if key not in self._kubeconfigs:
            directory = self.settings.data_dir / "kubeconfigs"
            directory.mkdir(mode=0o700, exist_ok=True)
            name = re.sub(r"[^A-Za-z0-9_.-]", "-", user)
            issued = self._pki.issue_client(user, groups)
            self._kubeconfigs[key] = self._write_kubeconfig(directory / f"{name}.kubeconfig", user, issued)
        return self._kubeconfigs[key]

    def _write_kubeconfig(self, path: Path, user: str, issued: Issued) -> Path:
        write_private(path, kubeconfig(self.url, self._pki.ca_certificate, user, issued))
        return path

    def _write_administrator(self) -> None:
        self._write_kubeconfig(self.kubeconfig, ADMINISTRATOR, self._pki.administrator)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        tokens = await asyncio.to_thread(self._load)
        self.store = store = await stack.enter_async_context(Store(settings.data_dir))
        certificates = settings.data_dir / "pki", certified_hosts(settings.bind)
        # Begun here, where the directory is ours alone, to go on beside what follows.
        making = begin_making(*certificates) if self._lean else None
        authoriser = Authoriser(store)
        known = catalogue()
        client = WebhookClient(store)
        stack.push_async_callback(client.close)
        conversions = Conversions(client, known)
        chain = self._admission(store, known, authoriser, client, conversions)
        registry = Registry(store, chain)
        await stack.enter_async_context(CustomResources(registry, known, conversions))
        self.watches = watches = await stack.enter_async_context(WatchService(store))
        watches.measure(self.metrics)
        self.store.subscribe(
            DEFINITIONS, lambda event: None if event.current else watches.end_of(event.key.name)
        )
        audit = await self._audit_log(stack)
        if making is not None:
            await asyncio.to_thread(os.waitpid, making, 0)
        self._pki = await asyncio.to_thread(Pki, *certificates)
        dispatcher = self._dispatcher(stack, known, registry, authoriser, watches, tokens, audit)
        context = await asyncio.to_thread(self._pki.server_context)
        self._server = await stack.enter_async_context(
            http.listen(
                dispatcher.handle,
                host=settings.bind,
                port=settings.port,
                ssl_context=context,
                name="API server",
                max_body=MAX_BODY,
                on_shutdown=watches.end_all,
            )
        )
        host = _ANY.get(settings.bind, self._server.host)
        await bootstrap(registry, known, objects(host, self._server.port, SERVICE_ADDRESS))
        await stack.enter_async_context(EventExpiry(store))
        await stack.enter_async_context(NamespaceCleaner(registry, known))
        await stack.enter_async_context(QuotaKeeper(store, known))
        await stack.enter_async_context(RoleAggregator(registry, known))
        await stack.enter_async_context(Certifier(registry, known, authoriser, self._pki))
        await asyncio.to_thread(self._write_administrator)

    def _admission(
        self,
        store: Store,
        known: Catalogue,
        authoriser: Authoriser,
        client: WebhookClient,
        conversions: Conversions,
    ) -> Chain:
        versions = Versions(known)
        versions.converts(conversions.converted)
        mutating = MutatingPolicies(store, known, authoriser, versions)
        policies = Policies(store, known, authoriser, versions)
        webhooks = Webhooks(store, client, authoriser, versions)
        for one in (mutating, policies, webhooks):
            one.follow()
        accounts = self.settings.service_account_admission
        chain = admission(store, authoriser, mutating, policies, webhooks, service_accounts=accounts)
        chain.converts(conversions.convert)
        return chain

    async def _audit_log(self, stack: AsyncExitStack) -> AuditLog | None:
        path = self.settings.audit_log
        if path is None:
            return None
        return await stack.enter_async_context(AuditLog(path, self.settings.audit_log_megabytes * 1_000_000))

    def _load(self) -> dict[str, User]:
        """The users by token; loads the package's data on the way, so that no request waits for that."""
        catalogue(), definitions(), zero_omitted(""), zones()
        path = self.settings.token_auth_file
        return load_tokens(path) if path else {}

    def _dispatcher(
        self,
        stack: AsyncExitStack,
        known: Catalogue,
        registry: Registry,
        authoriser: Authoriser,
        watches: WatchService,
        tokens: dict[str, User],
        audit: AuditLog | None,
    ) -> Dispatcher:
        issuer = TokenIssuer(self._pki.service_account_key)
        authenticator = Authenticator(tokens, issuer, registry.store)
        authoriser.follow()
        service = ObjectService(registry)
        bindings = BindingService(registry, known)
        reviews = ReviewService(registry, authenticator, authoriser)
        container_logs = LogService(registry, self._pki.kubelet_context)
        streams = StreamService(registry, self._pki.kubelet_context)
        usage = MetricsService(registry, self._pki.kubelet_context)
        known.serve("metrics.k8s.io", METRICS)
        for part in (container_logs, usage):
            stack.push_async_callback(part.close)
        return Dispatcher(
            known,
            authenticator,
            authoriser,
            PathService(
                known, issuer, lambda: f"{self._server.host}:{self._server.port}", self.health, self.metrics
            ),
            verbs={
                "get": service.get,
                "list": service.list_objects,
                "watch": watches.watch,
                "create": service.create,
                "update": service.update,
                "patch": service.patch,
                "delete": service.delete,
                "deletecollection": service.delete_collection,
            },
            subresources={
                **SubresourceService(registry, service).answers(),
                **EvictionService(registry, known).answers(),
                **bindings.subresources(),
                **ProxyService(registry, self._pki.kubelet_context).answers(),
                "serviceaccounts/token": TokenRequestService(registry, issuer).issue,
                "pods/log": container_logs.answer,
                "pods/exec": streams.answer("exec"),
                "pods/attach": streams.answer("attach"),
                "pods/portforward": streams.answer("portForward"),
            },
            virtual=reviews.answers() | usage.answers() | bindings.virtual(),
            measurements=Measurements(self.metrics),
            audit=audit,
            intercept=self._intercept,
        )


def certified_hosts(bind: str) -> list[str]:
    """What the server's certificate is good for, beside the cluster's own names for it."""
    return ["127.0.0.1", "::1", SERVICE_ADDRESS, *([bind] if bind not in _ANY else [])]
