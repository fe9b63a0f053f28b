"""What a pod may take of the node's disk: limits of its emptyDir volumes and of its containers.

Usage is looked at every few seconds, and only that of pods that have a limit; nothing can be asked to tell.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import PodSpec
from proa.kubelet._pod_directory import PodDirectory

_BLOCK = 512


class Limit(NamedTuple):
    """How much may lie below some directories, in bytes, and what to say when it is more."""

    places: tuple[Path, ...]
    most: int
    message: str


def limits(spec: PodSpec, directory: PodDirectory) -> list[Limit]:
    """The limits that a pod's spec sets."""
    return [*_of_volumes(spec, directory), *_of_containers(spec, directory)]


async def exceeded(wanted: list[Limit], every: float) -> str:
    """Wait until a limit is exceeded; return what to say about it."""
    while True:
        await asyncio.sleep(every)
        for limit in wanted:
            if await asyncio.to_thread(_usage_of_all, limit.places) > limit.most:
                return limit.message


def usage(directory: Path) -> int:
    """The bytes of disk that a directory takes with all below it; links are not followed. Blocks."""
    total = 0
    for entry in _below(directory):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    return total


def count(directory: Path) -> int:
    """How many files and directories lie below a directory. Blocks."""
    return sum(1 for _ in _below(directory))


def _below(directory: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield entry
        except OSError:
            continue  # It went away under our hands.


def _usage_of_all(places: Iterable[Path]) -> int:
    return sum(map(usage, places))


def _of_volumes(spec: PodSpec, directory: PodDirectory) -> Iterator[Limit]:
    for volume in spec.volumes:
        if volume.empty_dir is not None and (most := volume.empty_dir.size_limit) is not None:
            message = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{most}".'
            yield Limit((directory.volumes / volume.name,), _bytes(most), message)


def _of_containers(spec: PodSpec, directory: PodDirectory) -> Iterator[Limit]:
    given = {
        container.name: container.resources.limits.get("ephemeral-storage") for container in spec.containers
    }
    for name, most in given.items():
        if most is not None:
            message = f'Container {name} exceeded its local ephemeral storage limit "{most}".'
            yield Limit((directory.path / name,), _bytes(most), message)
    known = [most for most in given.values() if most is not None]
    if known and len(known) == len(given):
        total = sum(map(_bytes, known))
        message = f"Pod ephemeral local storage usage exceeds the total limit of containers {total}."
        # What the kubelet itself keeps of the pod beside these is none of the pod's usage.
        places = [directory.volumes, *(directory.path / name for name in given)]
        yield Limit(tuple(places), total, message)


def _bytes(quantity: Quantity) -> int:
    return int(quantity.value)
