"""Kubernetes' credential providers: programs that know who the node is at registries of cloud providers.

Which there are says a `CredentialProviderConfig` (`kubelet.config.k8s.io`); each is asked by the protocol of
`credentialprovider.kubelet.k8s.io/v1`: a request on its standard input, a response on its standard output.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from proa.app import logs
from proa.app.settings import parse_duration
from proa.kubelet.errors import KubeletError
from proa.oci import Credentials, InvalidCredentialsError, Reference
from proa.oci.credentials import find, fits
from proa.oci.programs import run_program

_log = logs.get_logger(__name__)
_CONFIGURATIONS: Final = frozenset(f"kubelet.config.k8s.io/{name}" for name in ("v1", "v1beta1", "v1alpha1"))
_PROTOCOLS: Final = frozenset(
    f"credentialprovider.kubelet.k8s.io/{name}" for name in ("v1", "v1beta1", "v1alpha1")
)


class _Variable(msgspec.Struct):
    name: str
    value: str = ""


class _Provider(msgspec.Struct, rename="camel"):
    name: str
    api_version: str = ""
    match_images: list[str] = []
    default_cache_duration: str = ""
    args: list[str] = []
    env: list[_Variable] = []
    token_attributes: dict[str, object] | None = None


class _Configuration(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    providers: list[_Provider] = []


class _Login(msgspec.Struct):
    username: str = ""
    password: str = ""


class _Response(msgspec.Struct, rename="camel"):
    api_version: str
    kind: Literal["CredentialProviderResponse"]
    cache_key_type: Literal["Image", "Registry", "Global"]
    cache_duration: str | None = None
    auth: dict[str, _Login] | None = None


class CredentialProviders:
    """All that are configured, asked in order; what they say is kept for as long as they allow."""

    def __init__(self, providers: Iterable["CredentialProvider"] = ()) -> None:
        self._providers = [*providers]

    @classmethod
    def load(cls, configuration: Path, programs: Path) -> "CredentialProviders":
        """Read a configuration, or all in a directory. Blocks.

        Args:
            configuration: The file or directory.
            programs: Where the programs are, by their providers' names.

        Raises:
            KubeletError: Something is wrong with it; names everything that is.
        """
        found: list[_Provider] = []
        problems: list[str] = []
        paths = sorted(configuration.glob("*")) if configuration.is_dir() else [configuration]
        for path in paths:
            try:
                found += _read(path).providers
            except (OSError, ValueError) as error:
                problems.append(f"{path}: {getattr(error, 'strerror', None) or error}")
        problems += _problems(found, programs)
        if problems:
            raise KubeletError("image_credential_provider_config: " + "; ".join(problems))
        return cls(CredentialProvider(provider, programs / provider.name) for provider in found)

    async def find(self, reference: Reference) -> Credentials | None:
        """Who the node is for an image; None when no provider knows. One that fails is told of in the log."""
        for provider in self._providers:
            try:
                known = await provider.find(reference)
            except InvalidCredentialsError as error:
                _log.warning("a credential provider failed", image=str(reference), error=str(error))
                continue
            if known is not None:
                return known
        return None


class CredentialProvider:
    """One of them."""

    def __init__(
        self, provider: _Provider, program: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._program = program
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, Credentials]]] = {}
        self._asking = asyncio.Lock()

    async def find(self, reference: Reference) -> Credentials | None:
        """Who the node is for an image, as far as this one is for such images.

        Raises:
            proa.oci.InvalidCredentialsError: It fails or makes no sense.
        """
        registry, repository = reference.registry, reference.repository
        if not any(fits(pattern, registry, repository) for pattern in self._provider.match_images):
            return None
        async with self._asking:  # Who waits here finds what the one before has learnt.
            logins = self._remembered(reference)
            if logins is None:
                logins = await self._ask(reference)
        return find(logins, registry, repository)

    def _remembered(self, reference: Reference) -> dict[str, Credentials] | None:
        now = self._clock()
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
        for key in (_image(reference), reference.registry, ""):
            if key in self._kept:
                return self._kept[key][1]
        return None

    async def _ask(self, reference: Reference) -> dict[str, Credentials]:
        provider = self._provider
        request = {
            "apiVersion": provider.api_version,
            "kind": "CredentialProviderRequest",
            "image": _image(reference),
        }
        variables = os.environ | {variable.name: variable.value for variable in provider.env}
        command = [str(self._program), *provider.args]
        code, output, complaint = await run_program(command, msgspec.json.encode(request), variables)
        if code:
            said = " ".join(complaint.decode("utf-8", "replace").split())[-200:]
            raise InvalidCredentialsError(f"{provider.name} failed with exit code {code}: {said}")
        try:
            response = msgspec.json.decode(output, type=_Response)
            given = response.cache_duration
            kept_for = parse_duration(provider.default_cache_duration if given is None else given)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidCredentialsError(f"{provider.name} gave no usable answer: {error}") from None
        if response.api_version != provider.api_version:
            raise InvalidCredentialsError(f"{provider.name} answered in {response.api_version}")
        logins = {
            key: Credentials(login.username, login.password) for key, login in (response.auth or {}).items()
        }
        if kept_for > timedelta(0):
            keys = {"Image": _image(reference), "Registry": reference.registry, "Global": ""}
            until = self._clock() + kept_for.total_seconds()
            self._kept[keys[response.cache_key_type]] = until, logins
        return logins


def _image(reference: Reference) -> str:
    # Kubernetes' kubelet leaves the tag and the digest away, too.
    return f"{reference.registry}/{reference.repository}"


def _read(path: Path) -> _Configuration:
    try:
        document = msgspec.convert(yaml.safe_load(path.read_bytes()), _Configuration)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if document.kind != "CredentialProviderConfig" or document.api_version not in _CONFIGURATIONS:
        raise ValueError(f"it is no CredentialProviderConfig of {', '.join(sorted(_CONFIGURATIONS))}")
    return document


def _problems(providers: list[_Provider], programs: Path) -> Iterator[str]:
    names = [provider.name for provider in providers]
    yield from (f"{name}: named twice" for name in sorted(set(names)) if names.count(name) > 1)
    for provider in providers:
        name = provider.name
        if not name or "/" in name or name in {".", ".."} or " " in name:
            yield f"{name!r} is no name of a program"
        elif not os.access(programs / name, os.X_OK):
            yield f"{name}: there is no program {programs / name}"
        if provider.api_version not in _PROTOCOLS:
            yield f"{name}: apiVersion {provider.api_version!r} is none of {', '.join(sorted(_PROTOCOLS))}"
        if not provider.match_images:
            yield f"{name}: matchImages is empty"
        if provider.token_attributes is not None:
            yield f"{name}: tokenAttributes are not supported"
        try:
            parse_duration(provider.default_cache_duration)
        except ValueError as error:
            yield f"{name}: defaultCacheDuration must be {error}"
