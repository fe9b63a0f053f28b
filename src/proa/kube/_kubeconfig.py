"""kubeconfig files (`v1` `Config`) to the arguments of `Config`.

Follows https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proa.kube._kubeconfig_entry import Entry
from proa.kube._kubeconfig_users import exec_plugin, oidc
from proa.kube._urls import PROXIES, is_url
from proa.kube.errors import ConfigError
from proa.kube.identity import Impersonation

SECTIONS = ("clusters", "users", "contexts")


class Merged:
    """Several kubeconfig files as one."""

    def __init__(self, files: Sequence[Path]) -> None:
        documents = [(file, _read(file)) for file in files if len(files) == 1 or file.exists()]
        if not documents:
            raise ConfigError(f"no such file: {', '.join(str(file) for file in files)}; check KUBECONFIG")
        self.files = [file for file, _ in documents]
        self.current = next(
            (name for _, document in documents if (name := document.get("current-context"))), None
        )
        self._entries: dict[tuple[str, str], tuple[Path, Mapping[str, Any]]] = {}
        for file, document in documents:
            for section in SECTIONS:
                self._add(file, section, document.get(section) or [])

    def _add(self, file: Path, section: str, entries: object) -> None:
        if not isinstance(entries, list):
            raise ConfigError(f"{file}: {section}: must be a list")
        for index, entry in enumerate(entries):
            inner = entry.get(section[:-1]) if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise ConfigError(f"{file}: {section}[{index}]: must have a name")
            if not isinstance(inner, dict | None):
                raise ConfigError(f"{file}: {section}[{index}].{section[:-1]}: must be a map")
            self._entries.setdefault((section, entry["name"]), (file, inner or {}))

    def names(self, section: str) -> list[str]:
        """Return the names in a section."""
        return sorted(name for in_section, name in self._entries if in_section == section)

    def find(self, section: str, name: str, label: str, missing: Callable[[str], ConfigError]) -> Entry:
        """Return an entry; `missing` makes the error for one that is not there."""
        found = self._entries.get((section, name))
        if found is None:
            known = ", ".join(self.names(section)) or "none"
            raise missing(f"there is no {section[:-1]} {name!r}; known: {known}")
        return Entry(found[0], label, found[1])


def load(files: Sequence[Path], context_name: str | None) -> dict[str, Any]:
    """Return the arguments of `Config` for a context, by default the current one.

    Raises:
        ConfigError: naming the file, the context and the field.
    """
    merged = Merged(files)
    where = ", ".join(str(file) for file in merged.files)
    name = context_name or merged.current
    if not isinstance(name, str):
        known = ", ".join(merged.names("contexts")) or "none"
        raise ConfigError(f"{where}: current-context: is not set; choose a context, known: {known}")
    context = merged.find(
        "contexts", name, f"context {name!r}", lambda problem: ConfigError(f"{where}: {problem}")
    )
    cluster_name, user_name = context.text("cluster"), context.text("user")
    if not cluster_name:
        raise context.fail("cluster", "is missing")
    label = f"cluster {cluster_name!r} of context {name!r}"
    cluster = merged.find("clusters", cluster_name, label, lambda problem: context.fail("cluster", problem))
    arguments = _cluster(cluster) | {"namespace": context.text("namespace") or "default"}
    if user_name:
        label = f"user {user_name!r} of context {name!r}"
        user = merged.find("users", user_name, label, lambda problem: context.fail("user", problem))
        arguments |= _user(user, cluster, arguments)
    return arguments


def _cluster(cluster: Entry) -> dict[str, Any]:
    server = cluster.text("server")
    if not server:
        raise cluster.fail("server", "is missing")
    if not server.startswith(("http://", "https://")):
        raise cluster.fail("server", f"{server!r} is no URL such as https://127.0.0.1:6443")
    insecure, ca_data = cluster.flag("insecure-skip-tls-verify"), cluster.data("certificate-authority")
    if insecure and ca_data:
        raise cluster.fail(
            "insecure-skip-tls-verify", "contradicts certificate-authority: give one of the two"
        )
    proxy = cluster.text("proxy-url")
    if proxy and not is_url(proxy, PROXIES):
        raise cluster.fail("proxy-url", f"{proxy!r} is no URL of one of the schemes {', '.join(PROXIES)}")
    return {
        "server": server.rstrip("/"),
        "ca_data": ca_data,
        "insecure_skip_tls_verify": insecure,
        "tls_server_name": cluster.text("tls-server-name"),
        "proxy_url": proxy,
    }


def _user(user: Entry, cluster: Entry, arguments: Mapping[str, Any]) -> dict[str, Any]:
    certificate, key = user.data("client-certificate"), user.data("client-key")
    if (certificate is None) != (key is None):
        present, absent = ("client-certificate", "client-key")[:: 1 if certificate else -1]
        raise user.fail(absent, f"is missing, but {present} is given")
    token_file = user.path("tokenFile")
    if token_file:
        user.read("tokenFile", token_file)
    program, provider = user.within("exec"), user.within("auth-provider")
    if program and provider:
        raise user.fail("exec", "contradicts auth-provider: give one of the two")
    return {
        "client_certificate_data": certificate,
        "client_key_data": key,
        "token": user.text("token"),
        "token_file": token_file,
        "username": user.text("username"),
        "password": user.text("password"),
        "exec": exec_plugin(program, cluster, arguments) if program else None,
        "oidc": oidc(provider) if provider else None,
        "impersonate": _impersonation(user),
    }


def _impersonation(user: Entry) -> Impersonation | None:
    name, groups, uid = user.text("as"), user.texts("as-groups"), user.text("as-uid")
    extra = user.within("as-user-extra")
    if not name:
        for field_, given in (("as-groups", groups), ("as-uid", uid), ("as-user-extra", extra)):
            if given:
                raise user.fail(field_, "needs `as`: the user to act as")
        return None
    fields = {key: extra.texts(key) for key in extra.values} if extra else {}
    return Impersonation(user=name, groups=groups, uid=uid, extra=fields)


def _read(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the kubeconfig {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not text in UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{file}: is not YAML{line}: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: is no kubeconfig: it must be a map with clusters, users and contexts")
    return document
