"""Where the API server is and who we are: read from kubeconfig files or from inside a pod.

`Config.from_env` finds it as kubectl does: the files of `$KUBECONFIG`, else `~/.kube/config`, else the
service
account of the pod that this process runs in. What is read is read once, but for a token file, whose token
changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proa.kube._urls import PROXIES, is_url
from proa.kube.errors import ConfigError
from proa.kube.identity import ExecPlugin, Impersonation, Oidc

__all__ = ["Config"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to reach one API server, as whom. Certificates and keys are PEM."""

    server: str
    """The base URL, with any path prefix: `https://127.0.0.1:6443`."""
    namespace: str = "default"
    """The namespace of the context: a default to offer users, applied by nothing in this package."""
    ca_data: bytes | None = None
    """The authorities to trust instead of the system's."""
    ca_file: Path | None = None
    """A file with these authorities, read again every minute; it goes before `ca_data`."""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    """The name to expect in the server's certificate, where that is not the host of `server`."""
    client_certificate_data: bytes | None = None
    client_key_data: bytes | None = field(default=None, repr=False)
    client_certificate_file: Path | None = None
    """A file with a client certificate and its key (PEM), read again each minute: it may be renewed."""
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    """A file with the bearer token, read again every minute; it goes before `token`."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    exec: ExecPlugin | None = None
    """A program that prints credentials; used where there is no token and no user name."""
    oidc: Oidc | None = None
    """An OpenID Connect provider; used where there is nothing of the above."""
    impersonate: Impersonation | None = None
    """Whom to act as."""
    proxy_url: str | None = None
    """An http, https or socks5 proxy. Without one, the environment's `HTTPS_PROXY` and `NO_PROXY` count."""

    def __post_init__(self) -> None:
        if not is_url(self.server, ("http", "https")):
            raise ConfigError(f"the server {self.server!r} is no URL such as https://127.0.0.1:6443")
        if self.proxy_url is not None and not is_url(self.proxy_url, PROXIES):
            raise ConfigError(
                f"the proxy {self.proxy_url!r} is no URL of one of the schemes {', '.join(PROXIES)}"
            )
        if (self.client_certificate_data is None) != (self.client_key_data is None):
            raise ConfigError("a client certificate and its key only work together: one of them is missing")

    @classmethod
    def from_env(cls, context: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Config:
        """Find the configuration as kubectl does.

        Raises:
            ConfigError: there is none, or it cannot be used; the message lists what was tried.
        """
        files = kubeconfig_paths(environ)
        if any(path.exists() for path in files):
            return cls.from_kubeconfig(files, context)
        if context is None and "KUBERNETES_SERVICE_HOST" in environ:
            return cls.in_cluster(environ=environ)
        tried = ", ".join(str(path) for path in files)
        raise ConfigError(
            f"no Kubernetes configuration: {tried} does not exist, and this is no pod; set KUBECONFIG"
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path | Sequence[str | Path], context: str | None = None) -> Config:
        """Read a kubeconfig, or several merged by kubectl's rule: for each entry the first file that has it
        wins.

        Of several files, those that do not exist are passed over. Relative paths inside a file are relative
        to it.

        Raises:
            ConfigError: naming the file, the context and the field.
        """
        from proa.kube._kubeconfig import load

        return cls(
            **load([Path(path)] if isinstance(path, str | Path) else [Path(item) for item in path], context)
        )

    @classmethod
    def in_cluster(cls, *, environ: Mapping[str, str] = os.environ, mount: Path = SERVICE_ACCOUNT) -> Config:
        """Use the service account that Kubernetes mounts into every pod.

        Raises:
            ConfigError: this process does not run in a pod, or the pod has no service account token.
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
        token_file = mount / "token"
        try:
            token_file.read_bytes()
            ca_data = (mount / "ca.crt").read_bytes()
        except OSError as error:
            raise ConfigError(
                f"in-cluster configuration: cannot read {error.filename}: {error.strerror}"
            ) from error
        namespace = mount / "namespace"
        return cls(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace=namespace.read_text().strip() if namespace.exists() else "default",
            ca_data=ca_data,
            ca_file=mount / "ca.crt",
            token_file=token_file,
        )


def kubeconfig_paths(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the kubeconfig files that kubectl would look at, whether they exist or not."""
    listed = [Path(item) for item in environ.get("KUBECONFIG", "").split(os.pathsep) if item]
    return listed or [Path(environ.get("HOME", "~")).expanduser() / ".kube/config"]
