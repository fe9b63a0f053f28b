"""Whom guests run as.

Only a kubelet that root has started has a choice: its guests are `nobody` unless the pod's security context
says otherwise, `runAsUser: 0` included. Elsewhere all guests run as the kubelet's own user.
"""

import os
from typing import Final

from proa.kube.models.core_v1 import Container, Pod, PodSpec
from proa.kubelet.errors import ContainerConfigError

NOBODY: Final = 65534


def guest_user(spec: PodSpec, container: Container) -> int | None:
    """The user id that a container asks for; None for the usual one.

    Raises:
        ContainerConfigError: It must not be root, and is.
    """
    contexts = [context for context in (container.security_context, spec.security_context) if context]
    user = next((one.run_as_user for one in contexts if one.run_as_user is not None), None)
    not_root = next((one.run_as_non_root for one in contexts if one.run_as_non_root is not None), False)
    if not_root and user == 0:
        raise ContainerConfigError("container's runAsUser breaks non-root policy: it is 0")
    return user


def owner(pod: Pod) -> int | None:
    """The user whom the files of the pod's volumes belong to; None where there is no choice."""
    if not _is_root():
        return None
    context = pod.spec.security_context
    asked = context.run_as_user if context is not None else None
    return NOBODY if asked is None else asked


def _is_root() -> bool:
    return os.geteuid() == 0
