from datetime import UTC, datetime, timedelta

import pytest

from proa.kube.models.core_v1 import (
    Container,
    ContainerRestartRule,
    ContainerRestartRuleOnExitCodes,
    ContainerStateTerminated,
    PodSpec,
)
from proa.kubelet._restarts import RestartTimer, crash_loop, restart_policy, restarts

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def death(ran_for: timedelta = timedelta(seconds=1)) -> ContainerStateTerminated:
    return ContainerStateTerminated(exit_code=1, started_at=NOW - ran_for, finished_at=NOW)


def test_restarts_come_at_once_and_then_after_10_seconds_doubling_to_300() -> None:
    timer = RestartTimer()
    waits = [(timer.wait_until(death(), NOW) - NOW).total_seconds() for _ in range(9)]
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_the_longest_wait_can_be_made_shorter() -> None:
    for longest, expected in ((25, [0, 10, 20, 25, 25]), (2, [0, 2, 2, 2, 2])):
        timer = RestartTimer(crash_loop(timedelta(seconds=longest)))
        assert [(timer.wait_until(death(), NOW) - NOW).total_seconds() for _ in range(5)] == expected


def test_ten_minutes_of_running_forgive_everything() -> None:
    timer = RestartTimer()
    for _ in range(5):
        timer.wait_until(death(), NOW)
    assert timer.wait_until(death(timedelta(minutes=10)), NOW) == NOW


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_policy_decides_by_the_exit_code(policy: str, code: int, again: bool) -> None:
    assert restarts(policy, code) is again


def test_an_init_container_is_not_run_again_after_it_ended_well() -> None:
    assert restart_policy(PodSpec(restart_policy="Always"), Container(name="i"), init=True) == "OnFailure"
    assert restart_policy(PodSpec(restart_policy="Never"), Container(name="i"), init=True) == "Never"


def test_a_container_may_have_a_policy_of_its_own() -> None:
    container = Container(name="c", restart_policy="Never")
    assert restart_policy(PodSpec(restart_policy="Always"), container, init=False) == "Never"


def test_a_rule_that_fits_restarts_whatever_the_policy() -> None:
    def rule(operator: str) -> list[ContainerRestartRule]:
        codes = ContainerRestartRuleOnExitCodes(operator=operator, values=[42])
        return [ContainerRestartRule(action="Restart", exit_codes=codes)]

    assert restarts("Never", 42, rule("In"))
    assert not restarts("Never", 41, rule("In"))
    assert restarts("Never", 41, rule("NotIn"))
    assert not restarts("Never", 42, rule("NotIn"))


def test_a_containers_own_policy_goes_before_the_pods() -> None:
    own = Container(name="c", restart_policy="Never")
    assert restart_policy(PodSpec(containers=[], restart_policy="Always"), own, init=False) == "Never"
    sidecar = Container(name="c", restart_policy="Always")
    assert restart_policy(PodSpec(containers=[], restart_policy="Never"), sidecar, init=True) == "Always"
