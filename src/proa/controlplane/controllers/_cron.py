"""Schedules as CronJob writes them: five fields, names such as `@daily`, or `@every 1h30m`.

The five fields are evaluated by cronsim, which follows Debian's cron where clocks change: a run whose hour is
skipped in spring happens right after, and one whose hour comes twice in autumn happens once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

from cronsim import CronSim, CronSimError

from proa.kube.models import Duration

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# cronsim knows "the last" and "the n-th" day; Kubernetes does not, and a manifest must mean the same there.
_FOREIGN = re.compile(r"#|\bL|\dL")

MANY = 100
"""From so many missed runs on, a clock is suspected."""


class ScheduleError(ValueError):
    """The schedule cannot be read; the message says why."""


@dataclass(frozen=True)
class Schedule:
    """When something is due.

    Attributes:
        fields: Five cron fields; empty if `every` is set.
        every: The fixed time between two runs.
        zone: The time zone whose clock the fields speak of.
    """

    fields: str
    every: timedelta | None
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo = UTC) -> Schedule:
        """Read a schedule.

        Raises:
            ScheduleError: It is none.
        """
        text = text.strip()
        if text.startswith("@every "):
            return cls("", _period(text.removeprefix("@every ")), zone)
        fields = _NAMED.get(text, text).replace("?", "*").upper()
        if len(fields.split()) != 5 or _FOREIGN.search(fields):
            raise ScheduleError(
                f"{text!r} is not five fields such as '30 4 * * *', nor a name such as @daily"
            )
        try:
            CronSim(fields, datetime.now(UTC))
        except CronSimError as error:
            raise ScheduleError(f"{text!r}: {error}") from error
        return cls(fields, None, zone)

    def after(self, moment: datetime) -> datetime | None:
        """Return the first run after `moment`; None if there is none in the next fifty years."""
        if self.every is not None:
            return moment + self.every
        try:
            return next(CronSim(self.fields, moment.astimezone(self.zone))).astimezone(UTC)
        except StopIteration:
            return None

    def last(self, start: datetime, end: datetime) -> datetime | None:
        """Return the latest run after `start` and not after `end`."""
        if self.every is not None:
            runs = (end - start) // self.every
            return start + runs * self.every if runs > 0 else None
        # The run at `end` itself counts, and going back would pass over it.
        backwards = CronSim(self.fields, end.astimezone(self.zone) + timedelta(seconds=1), reverse=True)
        latest = next(backwards, None)
        return latest.astimezone(UTC) if latest is not None and latest > start else None

    def missed(self, start: datetime, end: datetime) -> int:
        """Return how many runs lie after `start` and not after `end`; no more than `MANY` + 1 are counted."""
        if self.every is not None:
            return min(MANY + 1, max(0, (end - start) // self.every))
        runs = islice(CronSim(self.fields, start.astimezone(self.zone)), MANY + 1)
        count = 0
        for run in runs:
            if run > end:
                break
            count += 1
        return count


def _period(text: str) -> timedelta:
    try:
        period = Duration.parse(text.strip()).timedelta()
    except ValueError as error:
        raise ScheduleError(str(error)) from error
    if period < timedelta(seconds=1):
        raise ScheduleError(f"every {text.strip()} is too often: at most once a second")
    return timedelta(seconds=int(period.total_seconds()))
