"""Schedules of cron jobs are read as Kubernetes reads them."""

import pytest

from proa.controlplane.registry._cron import problem_of


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/5 0-6,22 1 jan-DEC mon",
        "? 1 2 3 4",
        "@every 1s",
        "@every 1h30m",
        "@daily",
        "0 0 31 2 SUN/2",
    ],
)
def test_schedules_that_are(schedule: str) -> None:
    assert problem_of(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * *",
        "60 * * * *",
        "* * 0 * *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "*-5 * * * *",
        "@fortnightly",
        "@every",
        "@every soon",
        "TZ=UTC * * * * *",
        "a b c d e",
        "* * L * *",
        "",
    ],
)
def test_schedules_that_are_not(schedule: str) -> None:
    assert problem_of(schedule)
