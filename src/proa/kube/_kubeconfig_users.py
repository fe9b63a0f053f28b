"""Users of a kubeconfig whose credentials come from a program or a provider."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, get_args

from proa.kube._kubeconfig_entry import Entry
from proa.kube.identity import ExecPlugin, InteractiveMode, Oidc

_MODES: tuple[InteractiveMode, ...] = get_args(InteractiveMode)
VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
# Where a cluster entry keeps what only the program understands.
EXTENSION = "client.authentication.k8s.io/exec"
REPLACED = {
    "gcp": "gke-gcloud-auth-plugin (`gcloud container clusters get-credentials` writes it)",
    "azure": "kubelogin (`kubelogin convert-kubeconfig` writes it)",
}


def exec_plugin(program: Entry, cluster: Entry, arguments: Mapping[str, Any]) -> ExecPlugin:
    """Read a user's `exec`; `arguments` are what the cluster has been read to."""
    command = program.text("command")
    if not command:
        raise program.fail("command", "is missing")
    version = program.text("apiVersion")
    if version not in VERSIONS:
        raise program.fail("apiVersion", f"{version!r} is none of {', '.join(VERSIONS)}")
    chosen = program.text("interactiveMode") or "IfAvailable"
    mode: InteractiveMode | None = next((mode for mode in _MODES if mode == chosen), None)
    if mode is None:
        raise program.fail("interactiveMode", f"{chosen!r} is none of {', '.join(_MODES)}")
    if "/" in command:
        command = str(program.file.absolute().parent / command)
    told = program.flag("provideClusterInfo")
    return ExecPlugin(
        command=command,
        args=program.texts("args"),
        env=_environment(program),
        api_version=version,
        cluster=_cluster_info(cluster, arguments) if told else None,
        interactive_mode=mode,
        install_hint=program.text("installHint") or "",
        where=f"{program.file}: {program.label}",
    )


def oidc(provider: Entry) -> Oidc:
    """Read a user's `auth-provider`; of those only `oidc` is left in Kubernetes."""
    name = provider.text("name")
    if name != "oidc":
        instead = REPLACED.get(name or "", "a program for `exec`")
        raise provider.fail("name", f"{name!r} is gone from Kubernetes: use {instead}")
    config = provider.within("config") or Entry(provider.file, f"{provider.label}: config", {})
    for needed in ("idp-issuer-url", "client-id"):
        if not config.text(needed):
            raise config.fail(needed, "is missing")
    return Oidc(
        issuer_url=config.text("idp-issuer-url") or "",
        client_id=config.text("client-id") or "",
        client_secret=config.text("client-secret"),
        id_token=config.text("id-token"),
        refresh_token=config.text("refresh-token"),
        ca_data=config.data("idp-certificate-authority"),
        where=f"{provider.file}: {provider.label}",
    )


def _environment(program: Entry) -> dict[str, str]:
    listed = program.values.get("env") or []
    if not isinstance(listed, list):
        raise program.fail("env", "must be a list of maps with name and value")
    found = {}
    for index, item in enumerate(listed):
        name, value = (item.get("name"), item.get("value")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(value, str):
            raise program.fail(f"env[{index}]", "must have a name and a value")
        found[name] = value
    return found


def _cluster_info(cluster: Entry, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the protocol calls `spec.cluster`."""
    ca_data = arguments["ca_data"]
    info = {
        "server": arguments["server"],
        "tls-server-name": arguments["tls_server_name"],
        "insecure-skip-tls-verify": arguments["insecure_skip_tls_verify"] or None,
        "certificate-authority-data": base64.b64encode(ca_data).decode() if ca_data else None,
        "proxy-url": arguments["proxy_url"],
        "config": _extension(cluster),
    }
    return {key: value for key, value in info.items() if value is not None}


def _extension(cluster: Entry) -> object:
    for item in cluster.values.get("extensions") or []:
        if isinstance(item, dict) and item.get("name") == EXTENSION:
            return item.get("extension")
    return None
