"""`proa up`: control plane, node and registry in one process, on loopback."""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from proa.app import App
from proa.app.settings import setting
from proa.cli._cluster import nobody_is_warned, registry_config_map
from proa.cli._process import serve
from proa.controlplane import ApiServer, ApiServerSettings, ControllerManager, Network, Scheduler
from proa.controlplane.controllers import ensure_storage_class
from proa.controlplane.network import CLASS, CONTROLLER
from proa.dashboard import Dashboard, DashboardSettings
from proa.kube import AlreadyExistsError, Api, Client, Config
from proa.kube.models.core_v1 import ConfigMap, ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.networking_v1 import IngressClass, IngressClassSpec
from proa.kube.models.node_v1 import RuntimeClass
from proa.kubelet import Kubelet, KubeletSettings
from proa.oci import Registry
from proa.runtime import Apply, InitApply, watcher


@dataclass(frozen=True, kw_only=True)
class UpSettings:
    """Settings of `proa up`."""

    data_dir: Path = setting(Path(".proa"), help="where the cluster's state is kept")
    bind: str = setting("127.0.0.1", help="address that every part listens on")
    port: int = setting(6443, help="port of the API server; 0 picks a free one")
    registry_port: int = setting(5050, help="port of the registry; 0 picks a free one")
    kubelet_port: int = setting(10250, help="port of the node; 0 picks a free one")
    ingress_port: int = setting(
        8090, help="port of Ingresses and NAME.NAMESPACE.localhost; 0 picks a free one"
    )
    page_port: int = setting(8092, help="port of the page of the cluster; 0 picks a free one")
    dns_port: int = setting(10053, help="port of the cluster's name server; 0 picks a free one")
    node_name: str = setting("", help="name of the node; by default the host name in lower case")
    max_pods: int = setting(1000, help="how many pods the node takes")
    service_account_admission: bool = setting(
        True, help="give every pod its service account, and a volume with the account's token"
    )
    token_auth_file: Path | None = setting(None, help="users' tokens, in Kubernetes' CSV form")
    without: tuple[Literal["scheduler", "controllers"], ...] = setting(
        (), help="parts to leave to others: scheduler,controllers"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return serve("proa up", UpSettings, arguments, _up)


async def _up(app: App, chosen: UpSettings) -> None:
    """Keep a cluster up on loopback until SIGTERM or Ctrl-C: control plane, node and registry."""
    server, registry, network = await _start(app, chosen)
    page = await app.start("page", _page(chosen, server))
    sys.stdout.write(_greeting(server, registry, network, page))
    sys.stdout.flush()
    await app.run_until_stopped()


async def _start(app: App, chosen: UpSettings) -> tuple[ApiServer, Registry, Network]:
    """Start the parts in the order in which they need each other; they stop in the reverse one."""
    server = ApiServer(
        ApiServerSettings(
            data_dir=chosen.data_dir,
            bind=chosen.bind,
            port=chosen.port,
            token_auth_file=chosen.token_auth_file,
            service_account_admission=chosen.service_account_admission,
        )
    )
    registry = Registry(data_dir=chosen.data_dir / "registry", host=chosen.bind, port=chosen.registry_port)
    await app.start_all({"registry": registry, "API server": server})
    client = await app.start("client", Client(Config.from_kubeconfig(server.kubeconfig)))
    await _publish(client, f"localhost:{registry.port}")
    if "controllers" not in chosen.without:
        await ensure_storage_class(client, _node_settings(chosen).name)
    await _name_classes(client)
    own = await app.start("client of the network", _client(server, "proa:network"))
    network = Network(own, host=chosen.bind, ingress_port=chosen.ingress_port, dns_port=chosen.dns_port)
    await app.start("network", network)
    names = f"{network.dns.host}:{network.dns.port}"
    await app.start_all({"node": _node(chosen, server, names), **await _loops(app, chosen, server)})
    if chosen.service_account_admission and "controllers" not in chosen.without:
        await _until_pods_can_be_made(client)
    return server, registry, network


async def _loops(app: App, chosen: UpSettings, server: ApiServer) -> dict[str, Scheduler | ControllerManager]:
    """The parts of the control plane besides its API that were not left out, each with its own rights."""
    parts: dict[str, Scheduler | ControllerManager] = {}
    if "scheduler" not in chosen.without:
        client = await app.start("client of the scheduler", _client(server, "system:kube-scheduler"))
        parts["scheduler"] = Scheduler(client)
    if "controllers" not in chosen.without:
        user = "system:kube-controller-manager"
        client = await app.start("client of the controllers", _client(server, user))
        parts["controllers"] = ControllerManager(client, chosen.data_dir / "volumes")
    return parts


async def _until_pods_can_be_made(client: Client) -> None:
    """Wait for the service account that pods use unless they say otherwise."""
    async for event in watcher(Api(client, ServiceAccount, namespace="default")):
        if isinstance(event, InitApply | Apply) and event.obj.metadata.name == "default":
            return


def _client(server: ApiServer, user: str) -> Client:
    """A client of one part of the control plane, which may do what its role says and no more."""
    config = Config.from_kubeconfig(server.kubeconfig_for(user))
    return Client(config, on_warning=nobody_is_warned)


def _page(chosen: UpSettings, server: ApiServer) -> Dashboard:
    """The page of the cluster, with the certificate of its API; its link lets the administrator in."""
    certificate, key = server.certificate
    settings = DashboardSettings(
        bind=chosen.bind, port=chosen.page_port, tls_cert_file=certificate, tls_private_key_file=key
    )
    return Dashboard(settings, Config.from_kubeconfig(server.kubeconfig))


def _node_settings(chosen: UpSettings) -> KubeletSettings:
    return KubeletSettings(
        node_name=chosen.node_name,
        data_dir=chosen.data_dir / "kubelet",
        bind=chosen.bind,
        port=chosen.kubelet_port,
        max_pods=chosen.max_pods,
        stop_pods_on_exit=True,
        # The machine is its user's: it may be fuller than a server's may be.
        eviction_hard={"memory.available": "50Mi", "nodefs.available": "500Mi"},
        image_gc_high_threshold_percent=95,
        image_gc_low_threshold_percent=90,
    )


def _node(chosen: UpSettings, server: ApiServer, name_server: str) -> Kubelet:
    own = replace(_node_settings(chosen), cluster_dns=(name_server,))
    kubeconfig = server.kubeconfig_for(user=f"system:node:{own.name}", groups=("system:nodes",))
    return Kubelet(own, Config.from_kubeconfig(kubeconfig))


async def _publish(client: Client, host: str) -> None:
    """Tell tools where the registry is; a port may have changed since the last time."""
    wanted = registry_config_map(host)
    config_maps = Api(client, ConfigMap, namespace=wanted.metadata.namespace)
    try:
        await config_maps.create(wanted)
    except AlreadyExistsError:
        await config_maps.replace(wanted)


async def _name_classes(client: Client) -> None:
    """Make known how modules are run (`wasi`, to their end; `wagi`, as servers) and who serves Ingresses."""
    classes = Api(client, RuntimeClass)
    for name in ("wasi", "wagi"):
        with contextlib.suppress(AlreadyExistsError):
            await classes.create(RuntimeClass(metadata=ObjectMeta(name=name), handler=name))
    own = IngressClass(metadata=ObjectMeta(name=CLASS), spec=IngressClassSpec(controller=CONTROLLER))
    with contextlib.suppress(AlreadyExistsError):
        await Api(client, IngressClass).create(own)


def _greeting(server: ApiServer, registry: Registry, network: Network, page: Dashboard) -> str:
    return (
        f"The cluster is up after {_age():.1f} s. Ctrl-C stops it.\n"
        f"  API server  {server.url}\n"
        f"  page        {page.login_url()}\n"
        f"  registry    localhost:{registry.port}\n"
        f"  services    http://NAME.NAMESPACE.localhost:{network.ingress.port}/\n"
        f"  names       dig @{network.dns.host} -p {network.dns.port} NAME.NAMESPACE.svc.cluster.local\n"
        f"  export KUBECONFIG={server.kubeconfig.resolve()}\n"
    )


def _age() -> float:
    """Seconds since the kernel started this process: what whoever typed the command has waited."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
