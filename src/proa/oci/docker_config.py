"""A Docker configuration file as a source of credentials, with the helper programs that it names.

A helper is a program `docker-credential-NAME` that is given a registry's host and says who we are there;
cloud providers ship them. The protocol is that of https://github.com/docker/docker-credential-helpers.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from proa.oci import credentials as _credentials
from proa.oci.credentials import Credentials
from proa.oci.errors import InvalidCredentialsError
from proa.oci.programs import run_program
from proa.oci.reference import DEFAULT_REGISTRY

__all__ = ("DockerConfig",)

_DOCKER_HUB: Final = "https://index.docker.io/v1/"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - what helpers say in the place of a name
_UNKNOWN: Final = b"credentials not found"


class _Helpers(msgspec.Struct, rename="camel"):
    cred_helpers: dict[str, str] = {}
    creds_store: str = ""


class _Answer(msgspec.Struct, rename="pascal"):
    username: str
    secret: str


class DockerConfig:
    """The configuration at `path`; read whenever it is asked, so that changes count at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def find(self, registry: str, repository: str) -> Credentials | None:
        """Return who we are at a registry: by the helper named for it, the file itself, or the usual helper.

        Raises:
            InvalidCredentialsError: the file cannot be read, or a helper fails.
        """
        try:
            content = await asyncio.to_thread(self.path.read_bytes)
            helpers = msgspec.json.decode(content, type=_Helpers)
        except OSError as error:
            raise InvalidCredentialsError(f"cannot read {self.path}: {error.strerror}") from None
        except msgspec.DecodeError:
            raise InvalidCredentialsError(f"{self.path} is no Docker configuration") from None
        if helper := helpers.cred_helpers.get(registry):
            return await _ask(helper, registry)
        known = _credentials.find(_credentials.parse_docker_config(content), registry, repository)
        if known is None and helpers.creds_store:
            return await _ask(helpers.creds_store, registry)
        return known


async def _ask(helper: str, registry: str) -> Credentials | None:
    program = f"docker-credential-{helper}"
    asked = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
    if "/" in program:
        raise InvalidCredentialsError(f"{program!r} is no name of a credential helper")
    code, output, _ = await run_program([program, "get"], asked.encode())
    if code:
        said = output.decode("utf-8", "replace").strip()
        if said.encode().startswith(_UNKNOWN):
            return None
        raise InvalidCredentialsError(f"{program} knows nothing of {registry}: {said[:200]}")
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError:
        raise InvalidCredentialsError(f"{program} gave no usable answer for {registry}") from None
    if answer.username == _TOKEN_USER:
        raise InvalidCredentialsError(f"{program} gave an identity token for {registry}: not supported")
    return Credentials(answer.username, answer.secret)
