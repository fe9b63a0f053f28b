"""Which proxy a request goes through: the configuration's, else the environment's as Go reads it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from proa.kube.config import Config


def proxy_of(config: Config, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL; None to connect directly.

    `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count in capitals or not, as Go's `httpproxy` reads them: hosts
    with their subdomains, addresses, networks, `*`. This machine itself is never reached through a proxy of
    the environment.
    """
    if config.proxy_url:
        return config.proxy_url
    server = urlsplit(config.server)
    host, name = server.hostname or "", f"{server.scheme}_proxy"
    found = environ.get(name) or environ.get(name.upper())
    if not found or _exempt(host, server.port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    return found if "://" in found else f"http://{found}"


def _exempt(host: str, port: int | None, listed: str) -> bool:
    if host == "localhost" or _is_loopback(host):
        return True
    return any(_covers(entry.strip().lower(), host, port) for entry in listed.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    if name.startswith("*."):
        name = name[1:]
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
