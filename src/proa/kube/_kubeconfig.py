"""kubeconfig files (`v1` `Config`) to the arguments of `Config`.

Follows https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proa.kube.errors import ConfigError

SECTIONS = ("clusters", "users", "contexts")
UNSUPPORTED = {
    "exec": "credentials from a program are not supported yet; give a token, tokenFile or client certificate",
    "auth-provider": "auth providers are not supported yet; give a token, tokenFile or client certificate",
    "username": "user name and password are not supported yet; give a token, tokenFile or client certificate",
    "as": "impersonation is not supported yet",
    "as-groups": "impersonation is not supported yet",
    "as-uid": "impersonation is not supported yet",
    "as-user-extra": "impersonation is not supported yet",
    "proxy-url": "proxies are not supported yet",
}


@dataclass(frozen=True)
class Entry:
    """A cluster, user or context, with the file it stands in."""

    file: Path
    label: str
    """How messages call it: `user "admin" of context "dev"`."""
    values: Mapping[str, Any]

    def fail(self, name: str, problem: str) -> ConfigError:
        """Return the error for one of its fields."""
        return ConfigError(f"{self.file}: {self.label}: {name}: {problem}")

    def text(self, name: str) -> str | None:
        """Return a field that must be text; an empty one counts as absent."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self.fail(name, f"must be text, not {type(value).__name__}")
        return value or None

    def flag(self, name: str) -> bool:
        """Return a field that must be true or false; absent is false."""
        value = self.values.get(name) or False
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false")
        return value

    def path(self, name: str) -> Path | None:
        """Return a file name, relative to the file that it stands in."""
        text = self.text(name)
        return self.file.absolute().parent / text if text else None

    def data(self, name: str) -> bytes | None:
        """Return `NAME-data`, decoded, or else what the file `NAME` holds."""
        if encoded := self.text(f"{name}-data"):
            try:
                return base64.b64decode("".join(encoded.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise self.fail(f"{name}-data", f"is not base64 ({error})") from error
        path = self.path(name)
        return None if path is None else self.read(name, path)

    def read(self, name: str, path: Path) -> bytes:
        """Return what a file holds that a field names."""
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.fail(name, f"cannot read {path}: {error.strerror}") from error

    def refuse_unsupported(self) -> None:
        """Raise for a field that would change who we are or how the server is reached."""
        for name, problem in UNSUPPORTED.items():
            if self.values.get(name):
                raise self.fail(name, problem)


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
        arguments |= _user(user)
    return arguments


def _cluster(cluster: Entry) -> dict[str, Any]:
    cluster.refuse_unsupported()
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
    return {
        "server": server.rstrip("/"),
        "ca_data": ca_data,
        "insecure_skip_tls_verify": insecure,
        "tls_server_name": cluster.text("tls-server-name"),
    }


def _user(user: Entry) -> dict[str, Any]:
    user.refuse_unsupported()
    certificate, key = user.data("client-certificate"), user.data("client-key")
    if (certificate is None) != (key is None):
        present, absent = ("client-certificate", "client-key")[:: 1 if certificate else -1]
        raise user.fail(absent, f"is missing, but {present} is given")
    token_file = user.path("tokenFile")
    if token_file:
        user.read("tokenFile", token_file)
    return {
        "client_certificate_data": certificate,
        "client_key_data": key,
        "token": user.text("token"),
        "token_file": token_file,
    }


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
