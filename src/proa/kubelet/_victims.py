"""Whom the kernel kills when the machine runs out of memory all the same: guests by their quality of service.

The scores are Kubernetes': those that ask for nothing go first, those whose limits are their requests last.
"""

import contextlib
from pathlib import Path
from typing import Final

from proa.kube.models.core_v1 import Container, Pod
from proa.kubelet._process_tree import tree
from proa.kubelet._standing import is_best_effort, is_critical, is_guaranteed

_FIRST: Final = 1000
_LAST: Final = -997
_NEXT_TO_LAST: Final = 3


def score(pod: Pod, container: Container, memory: int) -> int:
    """The `oom_score_adj` of a container's processes. Pure.

    Args:
        pod: Its pod.
        container: The container.
        memory: What the node has to give, in bytes.
    """
    if is_critical(pod) or is_guaranteed(pod):
        return _LAST
    if is_best_effort(pod):
        return _FIRST
    asked = container.resources.requests.get("memory")
    share = _FIRST * int(asked.value) // max(memory, 1) if asked is not None else 0
    return min(_FIRST - 1, max(_NEXT_TO_LAST, _FIRST - share))


def mark(pid: int, adjustment: int) -> None:
    """Give it to a guest's processes, as far as this process may. Blocks."""
    for each in tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{each}/oom_score_adj").write_text(str(adjustment))
