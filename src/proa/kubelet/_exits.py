"""How the end of a sandbox is told as the end of a container. Pure."""

from collections.abc import Mapping
from typing import Final

from proa.kube.models.core_v1 import ContainerStateTerminated
from proa.wasm import ExitReason, SandboxExit

_REASONS: Final[Mapping[ExitReason, str]] = {
    ExitReason.OUT_OF_MEMORY: "OOMKilled",
    ExitReason.FAILED: "ContainerCannotRun",
}


def container_id(sandbox_id: str) -> str:
    """A sandbox's id as a status shows it."""
    return f"wasmtime://{sandbox_id}"


def terminated(sandbox_id: str, end: SandboxExit) -> ContainerStateTerminated:
    """The state of a container whose sandbox has ended; times in whole seconds, as Kubernetes' are."""
    return ContainerStateTerminated(
        exit_code=end.exit_code,
        reason=_REASONS.get(end.reason, "Error" if end.exit_code else "Completed"),
        message=end.message or None,
        container_id=container_id(sandbox_id),
        started_at=end.started_at.replace(microsecond=0),
        finished_at=end.finished_at.replace(microsecond=0),
    )
