"""Who we are to an API server, where that takes more than a token: parts of a `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["ExecPlugin", "Impersonation", "InteractiveMode", "Oidc"]

InteractiveMode: TypeAlias = Literal["Never", "IfAvailable", "Always"]


@dataclass(frozen=True, kw_only=True)
class ExecPlugin:
    """A program that prints credentials: the protocol `client.authentication.k8s.io`, v1 and v1beta1.

    It is run when the first request is sent, and again 60 seconds before what it printed expires, or when the
    server refuses that.
    """

    command: str
    """A name looked up in `PATH`, or a path."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables besides those of this process."""
    api_version: str = "client.authentication.k8s.io/v1"
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the program is told about the cluster, where it wants to know (`provideClusterInfo`)."""
    interactive_mode: InteractiveMode = "IfAvailable"
    install_hint: str = ""
    where: str = "exec"
    """How messages call it: file, user and context."""


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """Tokens of an OpenID Connect provider; an expired one is renewed with the refresh token.

    Caveat: a new refresh token is kept in memory and not written to the kubeconfig. Where the provider gives
    each out for one use only, prefer a plug-in such as kubelogin.
    """

    issuer_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    ca_data: bytes | None = None
    """The authorities to trust for the provider instead of the system's."""
    where: str = "auth-provider"


@dataclass(frozen=True, kw_only=True)
class Impersonation:
    """Whom to act as; the server must allow it (verb `impersonate`)."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str | None = None
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of each request; those of groups and extra fields may occur several times."""
        from urllib.parse import quote

        found = [("Impersonate-User", self.user)]
        found += [("Impersonate-Group", group) for group in self.groups]
        if self.uid:
            found.append(("Impersonate-Uid", self.uid))
        for key, values in self.extra.items():
            found += [(f"Impersonate-Extra-{quote(key, safe='')}", value) for value in values]
        return found
