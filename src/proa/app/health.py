"""Is this process alive, and should it be sent work? Named checks, as Kubernetes' own servers have them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proa.app import logs

__all__ = ["Check", "CheckResult", "Health", "Report"]

Check = Callable[[], bool | Awaitable[bool | None] | None]
"""A check fails by returning False or raising; anything else passes. It may be async; it must not block."""

log = logs.get_logger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `reason` is for logs, never for clients."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What all checks of one kind (`livez`, `readyz`, `healthz`) found."""

    kind: str
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(result.ok for result in self.results)

    def text(self, *, verbose: bool = False) -> str:
        """Return the report as kube-apiserver prints it: `ok`, or a line a check when verbose or failing."""
        if self.ok and not verbose:
            return "ok"
        lines = [f"[+]{r.name} ok" if r.ok else f"[-]{r.name} failed: reason withheld" for r in self.results]
        verdict = "passed" if self.ok else "failed"
        return "\n".join([*lines, f"{self.kind} check {verdict}", ""])


class Health:
    """The named checks of a process.

    Liveness asks whether the process should be restarted, readiness whether it should get work.
    Every liveness check also counts for readiness. Checks run together, each for at most `timeout` s.
    """

    def __init__(self, timeout: float = 1.0) -> None:
        self._timeout = timeout
        self._liveness: dict[str, Check] = {"ping": lambda: True}
        self._readiness: dict[str, Check] = {}
        self._failing: set[str] = set()

    def add_liveness(self, name: str, check: Check) -> None:
        """Add a check whose failure means that only a restart helps; an equal name is replaced."""
        self._liveness[name] = check

    def add_readiness(self, name: str, check: Check) -> None:
        """Add a check whose failure means "no work now, please"; an equal name is replaced."""
        self._readiness[name] = check

    def remove(self, name: str) -> None:
        """Forget a check; an unknown name is fine."""
        self._liveness.pop(name, None)
        self._readiness.pop(name, None)

    async def live(self, kind: str = "livez") -> Report:
        """Run the liveness checks."""
        return await self._run(kind, self._liveness)

    async def ready(self, kind: str = "readyz") -> Report:
        """Run all checks."""
        return await self._run(kind, self._liveness | self._readiness)

    async def one(self, name: str, kind: str = "readyz") -> Report | None:
        """Run one check; None if there is none of that name."""
        check = (self._liveness | self._readiness).get(name)
        return None if check is None else await self._run(kind, {name: check})

    async def _run(self, kind: str, checks: dict[str, Check]) -> Report:
        results = await asyncio.gather(*(self._run_one(name, check) for name, check in checks.items()))
        for result in results:
            self._log_change(result)
        return Report(kind, tuple(results))

    async def _run_one(self, name: str, check: Check) -> CheckResult:
        try:
            async with asyncio.timeout(self._timeout):
                outcome = check()
                if inspect.isawaitable(outcome):
                    outcome = await outcome
        except TimeoutError:
            return CheckResult(name, ok=False, reason=f"no answer within {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001 - a check may fail in any way; that is its answer
            return CheckResult(name, ok=False, reason=f"{type(error).__name__}: {error}")
        return CheckResult(
            name, ok=outcome is not False, reason="" if outcome is not False else "returned False"
        )

    def _log_change(self, result: CheckResult) -> None:
        # Probes come every few seconds: only what changed is news.
        if result.ok and result.name in self._failing:
            self._failing.discard(result.name)
            log.info("health check passes again", check=result.name)
        elif not result.ok and result.name not in self._failing:
            self._failing.add(result.name)
            log.warning("health check fails", check=result.name, reason=result.reason)
