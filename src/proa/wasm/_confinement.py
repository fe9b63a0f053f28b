"""What a sandbox gives up once it has all that its guest needs, and before the guest's first instruction."""

import contextlib
import os
import resource
from collections.abc import Iterable
from typing import Final

from proa.wasm import _landlock, _process, _seccomp
from proa.wasm._landlock import Place

NOBODY: Final = 65534
_OVERHEAD: Final = 256 * 1024 * 1024


def confine(
    places: Iterable[Place], user: int | None, memory_limit: int | None, *, network: bool = False
) -> None:
    """Leave this process its open descriptors, the files in the places, and little else.

    Args:
        places: The directories that the guest may reach.
        user: Whom to become, if this is root; None is the user `nobody`.
        memory_limit: Of the guest; the process around it gets some more and not all that there is.
        network: It may connect to others, and read what looking up names and trusting servers takes.
    """
    with contextlib.ExitStack() as opened:
        places = [*places, *(_network_places(opened) if network else ())]
        if os.geteuid() == 0:
            _become(NOBODY if user is None else user)
        if memory_limit is not None:
            _process.limit(resource.RLIMIT_DATA, memory_limit + _OVERHEAD)
        _landlock.restrict(places, network=network)
        _seccomp.restrict(network=network)


def _network_places(opened: contextlib.ExitStack) -> list[Place]:
    import ssl

    authorities = ssl.get_default_verify_paths()
    found = []
    for path in ("/etc", "/run/systemd/resolve", "/usr/share/ca-certificates", authorities.capath):
        with contextlib.suppress(OSError):
            descriptor = os.open(path or "", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, descriptor)
            found.append(Place(descriptor, read_only=True))
    return found


def _become(user: int) -> None:
    with contextlib.suppress(PermissionError):  # A root that is root in name only, as in some containers.
        if user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        # The kernel forgets this with the change of user.
        _process.die_with_parent()
