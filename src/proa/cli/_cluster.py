"""Which cluster a command means, and where its registry is."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from proa.app import ProaError
from proa.kube import Api, Client, Config, ConnectError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta

LOCAL_KUBECONFIG = Path(".proa/kubeconfig")
REGISTRY_NAMESPACE = "kube-public"
REGISTRY_CONFIG_MAP = "local-registry-hosting"
REGISTRY_KEY = "localRegistryHosting.v1"


class NoClusterError(ProaError):
    """The cluster cannot be reached."""


class NoRegistryError(ProaError):
    """The cluster does not say where its registry is."""

    exit_code = 2


def nobody_is_warned(_warning: str) -> None:
    """What clients of the control plane do with warnings: it watches old kinds, too, on purpose."""


@asynccontextmanager
async def cluster_client(kubeconfig: Path | None) -> AsyncIterator[Client]:
    """A client of the cluster that a command means; see `cluster_config`.

    Raises:
        NoClusterError: Nobody listens there.
    """
    try:
        async with Client(cluster_config(kubeconfig)) as client:
            yield client
    except ConnectError as error:
        raise NoClusterError(f"{error}; `proa up` starts a cluster") from error


def cluster_config(kubeconfig: Path | None, context: str | None = None) -> Config:
    """The cluster that a command means.

    That of the kubeconfig given, else of `$KUBECONFIG`, else of the `proa up` of this folder, else what
    kubectl would take.
    """
    if kubeconfig is not None:
        return Config.from_kubeconfig(kubeconfig, context)
    if not os.environ.get("KUBECONFIG") and LOCAL_KUBECONFIG.exists():
        return Config.from_kubeconfig(LOCAL_KUBECONFIG, context)
    return Config.from_env(context)


def registry_config_map(host: str) -> ConfigMap:
    """How a cluster tells tools where its registry is: KEP-1755's ConfigMap in kube-public."""
    return ConfigMap(
        metadata=ObjectMeta(name=REGISTRY_CONFIG_MAP, namespace=REGISTRY_NAMESPACE),
        data={REGISTRY_KEY: yaml.safe_dump({"host": host})},
    )


async def local_registry(client: Client) -> str:
    """The registry of the cluster, as its ConfigMap names it (KEP-1755); raises NoRegistryError."""
    found = await Api(client, ConfigMap, namespace=REGISTRY_NAMESPACE).get_opt(REGISTRY_CONFIG_MAP)
    text = found.data.get(REGISTRY_KEY) if found else None
    document = yaml.safe_load(text) if text else None
    if not isinstance(document, dict) or not isinstance(document.get("host"), str):
        raise NoRegistryError(
            f"the cluster names no registry in {REGISTRY_NAMESPACE}/{REGISTRY_CONFIG_MAP}: use --registry"
        )
    host: str = document["host"]
    return host
