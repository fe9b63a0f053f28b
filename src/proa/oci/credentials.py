"""Who we are to which registry: credentials, and the Docker configuration that they are usually kept in."""

import base64
import binascii
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from proa.oci.errors import InvalidCredentialsError
from proa.oci.reference import DEFAULT_REGISTRY

__all__ = ("Credentials", "find", "fits", "parse_docker_config")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password (or access token) at a registry. The password is never shown."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header that carries them."""
        encoded = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return f"Basic {encoded}"


class _Entry(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""


class _DockerConfig(msgspec.Struct):
    auths: dict[str, _Entry] = {}


def parse_docker_config(content: bytes | str) -> dict[str, Credentials]:
    """Read the `auths` of a Docker `config.json`, or of a Kubernetes Secret of type `dockerconfigjson`.

    Keys lose their scheme and their `/v1/` or `/v2/`, so that `https://index.docker.io/v1/` becomes
    `docker.io`. `username` and `password` come before `auth`. Entries without any are skipped; helpers are
    those of `DockerConfig`, identity tokens are not supported.

    Raises:
        InvalidCredentialsError: not such a document; names the registry of a broken entry, never its content.
    """
    try:
        config = msgspec.json.decode(content, type=_DockerConfig)
    except msgspec.DecodeError:
        raise InvalidCredentialsError(
            "not a Docker configuration: expected JSON with an object 'auths'"
        ) from None
    found = {_normalize(key): _read_entry(key, entry) for key, entry in config.auths.items()}
    return {key: credentials for key, credentials in found.items() if credentials is not None}


def find(credentials: Mapping[str, Credentials], registry: str, repository: str) -> Credentials | None:
    """Return the credentials for `registry/repository`: those with the longest key that is a prefix of it by
    component; else those with the longest key whose host is a pattern that fits.
    """
    parts = [registry, *repository.split("/")]
    for length in range(len(parts), 0, -1):
        match = credentials.get("/".join(parts[:length]))
        if match is not None:
            return match
    patterns = sorted((key for key in credentials if fits(key, registry, repository)), key=len)
    return credentials[patterns[-1]] if patterns else None


def fits(pattern: str, registry: str, repository: str) -> bool:
    """Whether a pattern as Kubernetes has them, such as `*.example.com:5000/team`, means an image.

    Each label of the host is a glob of its own; the port must be the same, and the path a prefix of the
    repository by component.
    """
    _, _, pattern = pattern.rpartition("://")
    host, _, path = pattern.rstrip("/").partition("/")
    name, _, port = host.partition(":")
    own_name, _, own_port = registry.partition(":")
    labels, own_labels = name.split("."), own_name.split(".")
    return (
        port == own_port
        and len(labels) == len(own_labels)
        and all(map(fnmatch.fnmatchcase, own_labels, labels))
        and f"{repository}/".startswith(f"{path}/" if path else "")
    )


def _normalize(key: str) -> str:
    _, _, bare = key.rpartition("://")
    bare = bare.rstrip("/").removesuffix("/v1").removesuffix("/v2")
    host, slash, path = bare.partition("/")
    return f"{DEFAULT_REGISTRY if host in {'index.docker.io', 'registry-1.docker.io'} else host}{slash}{path}"


def _read_entry(key: str, entry: _Entry) -> Credentials | None:
    if entry.username:
        return Credentials(entry.username, entry.password)
    if not entry.auth:
        return None
    try:
        username, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise InvalidCredentialsError(
            f"'auth' of {key!r} in the Docker configuration is not base64 of user:password"
        )
    return Credentials(username, password.rstrip("\x00"))
