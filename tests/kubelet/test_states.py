"""The states' return annotations say what may follow what: they must resolve, and be complete."""

from types import ModuleType, UnionType
from typing import Any, get_args, get_type_hints

from proa.kubelet import _container_states, _pod, _pod_states


def edges(module: ModuleType) -> dict[str, set[str]]:
    """What may follow each state that is declared in a module; `done` is the end."""
    found: dict[str, set[str]] = {}
    for name, state in vars(module).items():
        if isinstance(state, type) and hasattr(state, "next") and not getattr(state, "_is_protocol", False):
            hints = get_type_hints(state.next, vars(module) | {"PodWorker": _pod.PodWorker})
            found[name] = {target(one) for one in alternatives(hints["return"])}
    return found


def alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def target(state: Any) -> str:
    return "done" if state is type(None) else str(state.__name__)


def test_the_life_of_a_container() -> None:
    assert edges(_container_states) == {
        "Pulling": {"Creating", "PullFailing"},
        "PullFailing": {"Pulling"},
        "Creating": {"Running", "CreateFailing"},
        "CreateFailing": {"Pulling"},
        "Running": {"Ended", "Lost"},
        "Stopping": {"Ended", "Lost"},
        "Lost": {"Ended"},
        "Ended": {"Pulling", "CrashLooping", "done"},
        "CrashLooping": {"Pulling"},
    }


def test_the_life_of_a_pod() -> None:
    assert edges(_pod_states) == {
        "Admitting": {"Mounting", "Rejected", "done"},
        "Rejected": {"done"},
        "Mounting": {"Initializing"},
        "Initializing": {"RunningContainers", "Finished"},
        "RunningContainers": {"Finished"},
        "Finished": {"done"},
    }
