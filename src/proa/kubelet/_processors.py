"""How much processor time a guest gets: by control groups where this process may make them, else by its rank.

Version 2 of control groups is used, in the part of the tree that was delegated to the kubelet (systemd's
`Delegate=yes`): `cpu.max` holds a guest to its limit and `cpu.weight` gives it a share by its request. Where
there are none, guests have ranks by their requests (`nice`): no limit is enforced then, but one that computes
all the time takes nothing from others that want their share.
"""

import contextlib
import math
import os
from pathlib import Path
from typing import Final, Self

from proa.app import logs
from proa.kube.models.core_v1 import ResourceRequirements
from proa.kubelet._process_tree import tree

_log = logs.get_logger(__name__)
_PERIOD: Final = 100_000
_LEAST_QUOTA: Final = 1_000
_STEP: Final = 1.5625  # Two steps of the kernel's, each of which takes a fifth of a process's weight.
_LOWEST_RANK: Final = 5
_OWN: Final = "kubelet"
_GUESTS: Final = "guests"


def cpus(resources: ResourceRequirements, kind: str) -> float | None:
    """The processors that a container asks for (`requests`) or is limited to (`limits`); None for none."""
    quantity = getattr(resources, kind).get("cpu")
    return float(quantity.value) if quantity is not None else None


def rank(requested: float | None) -> int:
    """The rank of a process that asks for so many processors: 0 from one on, 5 for a tenth or none. Pure.

    The lowest has a third of the weight of the highest: less would starve guests beside other programs.
    """
    if not requested:
        return _LOWEST_RANK
    return min(_LOWEST_RANK, max(0, round(-math.log(min(requested, 1.0), _STEP))))


def weight(requested: float | None) -> int:
    """`cpu.weight` for a request: as Kubernetes turns shares (1,024 a processor) into it. Pure."""
    shares = max(2, int((requested or 0.0) * 1024))
    return 1 + (min(shares, 262_144) - 2) * 9999 // 262_142


def quota(limit: float | None) -> str:
    """`cpu.max` for a limit. Pure."""
    return f"max {_PERIOD}" if limit is None else f"{max(_LEAST_QUOTA, int(limit * _PERIOD))} {_PERIOD}"


class Processors:
    """Gives guests their share.

    Args:
        groups: The control group that guests' own are made in; None where there is none.
    """

    def __init__(self, groups: Path | None) -> None:
        self._groups = groups

    @classmethod
    def find(cls, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Self:
        """Use the control group of this process if it was delegated to it; blocks.

        Guests' processes were there before, with an earlier kubelet: only the kubelet's own moves aside.
        """
        try:
            place = next(
                line[3:] for line in own.read_text(encoding="utf-8").splitlines() if line.startswith("0::")
            )
            # A kubelet that starts anew within the same service is in its own leaf already.
            here = root / place.strip("/").removesuffix(f"/{_OWN}")
            return cls(_divide(here))
        except (OSError, StopIteration):
            return cls(None)

    @property
    def has_groups(self) -> bool:
        """Whether limits are enforced."""
        return self._groups is not None

    def give(self, sandbox_id: str, pid: int, resources: ResourceRequirements) -> None:
        """Give a guest that was just started its share; one that is gone already is left alone. Blocks."""
        requested = cpus(resources, "requests")
        limit = cpus(resources, "limits")
        with contextlib.suppress(OSError):
            if self._groups is not None:
                group = self._group(sandbox_id)
                group.mkdir(exist_ok=True)
                (group / "cpu.weight").write_text(str(weight(requested if requested is not None else limit)))
                (group / "cpu.max").write_text(quota(limit))
                # What a server starts from now on is in its group; what it has started must follow it.
                for each in tree(pid):
                    (group / "cgroup.procs").write_text(str(each))
                return
        position = rank(requested if requested is not None else limit)
        for each in tree(pid):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, each, position)
        with contextlib.suppress(OSError):
            # Each guest is a session of its own, which the kernel may rank as one.
            Path(f"/proc/{pid}/autogroup").write_text(str(position))

    def forget(self, sandbox_id: str) -> None:
        """A guest has ended. Blocks."""
        if self._groups is not None:
            with contextlib.suppress(OSError):
                self._group(sandbox_id).rmdir()

    def _group(self, sandbox_id: str) -> Path:
        assert self._groups is not None
        return self._groups / sandbox_id.replace("/", "_")


def _divide(here: Path) -> Path:
    """Make leaves for the kubelet and for guests, as a group that gives shares may hold no process itself."""
    leaf, guests = here / _OWN, here / _GUESTS
    if "cpu" not in (here / "cgroup.controllers").read_text(encoding="utf-8").split():
        raise PermissionError(f"{here} has no cpu controller")
    for group in (leaf, guests):
        group.mkdir(exist_ok=True)
    for left in guests.iterdir():
        with contextlib.suppress(OSError):  # Somebody still lives in it.
            left.rmdir()
    for pid in (here / "cgroup.procs").read_text(encoding="utf-8").split():
        (leaf / "cgroup.procs").write_text(pid)
    for group in (here, guests):
        (group / "cgroup.subtree_control").write_text("+cpu")
    _log.info("guests' processor time is limited by control groups", group=str(guests))
    return guests
