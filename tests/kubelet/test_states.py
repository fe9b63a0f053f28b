"""What may follow what in the lives of pods and containers, and that the docs' drawings show it."""

from pathlib import Path
from typing import Any

import pytest

from proa.kubelet._container_states import CONTAINER
from proa.kubelet._pod_states import POD
from proa.statemachine import Machine, svg

DOCS = Path(__file__).parents[2] / "docs"


def edges(machine: Machine[Any]) -> dict[str, set[str]]:
    found = {entry.label: {target.__name__ for target in entry.targets} for entry in machine.entries}
    return found | {
        state.__name__: {edge.target.__name__ for edge in leaving} for state, leaving in machine.edges.items()
    }


def test_the_life_of_a_container() -> None:
    assert edges(CONTAINER) == {
        "initial": {"Pulling", "Running", "Lost", "Ended"},
        "deleted": {"Stopping", "Lost", "Done"},
        "Pulling": {"Creating", "PullFailed"},
        "PullFailed": {"ImagePullBackOff"},
        "ImagePullBackOff": {"Pulling"},
        "Creating": {"Running", "CreateFailed"},
        "CreateFailed": {"CreateBackOff"},
        "CreateBackOff": {"Pulling"},
        "Running": {"Ended", "Lost"},
        "Stopping": {"Ended", "Lost"},
        "Lost": {"Ended"},
        "Ended": {"Pulling", "CrashLoopBackOff", "Done"},
        "CrashLoopBackOff": {"Pulling"},
    }


def test_the_life_of_a_pod() -> None:
    assert edges(POD) == {
        "initial": {"Admitting"},
        "deleted": {"Terminating"},
        "condemned": {"Failing"},
        "Admitting": {"Mounting", "Rejected", "Ended"},
        "Rejected": {"Ended"},
        "Mounting": {"Initializing"},
        "Initializing": {"Running", "Finishing"},
        "Running": {"Finishing"},
        "Finishing": {"Ended"},
        "Failing": {"Ended"},
        "Ended": {"Done"},
        "Terminating": {"Done"},
    }


@pytest.mark.parametrize(("name", "machine"), [("pod", POD), ("container", CONTAINER)])
def test_the_drawings_in_the_docs_are_fresh(name: str, machine: Machine[Any]) -> None:
    assert (DOCS / f"{name}.svg").read_text(encoding="utf-8") == svg(machine)
