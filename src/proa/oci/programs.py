"""Running the small programs that know credentials."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from proa.oci.errors import InvalidCredentialsError

__all__ = ("Ended", "run_program")

_SECONDS: Final = 60.0


class Ended(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    output: bytes
    complaint: bytes


async def run_program(
    command: Sequence[str], question: bytes, environment: Mapping[str, str] | None = None
) -> Ended:
    """Give a program its standard input, and wait until it has ended, for a minute at most.

    Raises:
        InvalidCredentialsError: it cannot be run, or gives no answer.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except OSError as error:
        raise InvalidCredentialsError(f"cannot run {command[0]}: {error.strerror}") from None
    try:
        async with asyncio.timeout(_SECONDS):
            output, complaint = await process.communicate(question)
    except TimeoutError:
        raise InvalidCredentialsError(f"{command[0]} did not answer within {_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # With all that it has started.
            await process.wait()
    return Ended(process.returncode or 0, output, complaint)
