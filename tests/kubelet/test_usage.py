"""What a process uses is asked of the kernel again as soon as the process has done something."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from proa.kubelet import _usage

GROWS = """
import sys
for line in sys.stdin:
    held = bytearray(b"x") * int(line)
    print("held", flush=True)
"""
SIZE = 50_000_000


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", GROWS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def _hold(process: subprocess.Popen[str], size: int) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{size}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "held\n"
    usage = _usage.of_process(process.pid)
    assert usage is not None
    return usage.memory


def test_memory_that_a_process_takes_between_two_looks_is_counted(process: subprocess.Popen[str]) -> None:
    before = _hold(process, 1)
    assert _hold(process, SIZE) >= before + SIZE


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert _usage.of_process(process.pid) is None
