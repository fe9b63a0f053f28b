"""The config maps and secrets that a pod's containers and volumes refer to: which, and what they hold."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from proa.kube import Api, Client
from proa.kube.models import Namespaced
from proa.kube.models.core_v1 import ConfigMap, Container, Secret, Volume

K = TypeVar("K", bound=Namespaced)


@dataclass(frozen=True)
class References:
    """Names of config maps and secrets."""

    config_maps: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    @classmethod
    def union(cls, several: "Iterable[References]") -> "References":
        """All names of all of them."""
        known = list(several)
        return cls(
            frozenset().union(*(one.config_maps for one in known)),
            frozenset().union(*(one.secrets for one in known)),
        )


@dataclass(frozen=True)
class Referenced:
    """Config maps and secrets by name, as far as they exist."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


def of_container(container: Container) -> References:
    """What a container's environment refers to."""
    keys = [variable.value_from for variable in container.env if variable.value_from]
    return References(
        _names([key.config_map_key_ref for key in keys])
        | _names([e.config_map_ref for e in container.env_from]),
        _names([key.secret_key_ref for key in keys]) | _names([e.secret_ref for e in container.env_from]),
    )


def of_volume(volume: Volume) -> References:
    """What a volume takes its files from."""
    sources = volume.projected.sources if volume.projected else []
    secret = volume.secret.secret_name if volume.secret else None
    return References(
        _names([volume.config_map, *(source.config_map for source in sources)]),
        _names([source.secret for source in sources]) | frozenset([secret] if secret else []),
    )


async def fetch(client: Client, namespace: str, references: References) -> Referenced:
    """Fetch what is referred to, all at once.

    Raises:
        proa.kube.KubeError: The API server is away or refuses. That something does not exist is no error.
    """
    if not references.config_maps and not references.secrets:
        return Referenced()
    config_maps, secrets = await asyncio.gather(
        _fetch(Api(client, ConfigMap, namespace=namespace), references.config_maps),
        _fetch(Api(client, Secret, namespace=namespace), references.secrets),
    )
    return Referenced(config_maps, secrets)


async def _fetch(api: Api[K], names: Iterable[str]) -> dict[str, K]:
    wanted = sorted(names)
    found = await asyncio.gather(*(api.get_opt(name) for name in wanted))
    return {name: one for name, one in zip(wanted, found, strict=True) if one is not None}


class _Named(Protocol):
    @property
    def name(self) -> str | None: ...


def _names(references: Iterable[_Named | None]) -> frozenset[str]:
    return frozenset(reference.name for reference in references if reference is not None and reference.name)
