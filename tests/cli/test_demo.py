"""The demo, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo" / "demo.py"

pytestmark = [pytest.mark.xdist_group("large"), pytest.mark.timeout(180)]


def test_the_demo_does_what_it_says_and_leaves_nothing_running() -> None:
    result = subprocess.run(
        [sys.executable, str(DEMO)], capture_output=True, text=True, timeout=170, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Hello from WebAssembly\n    argument 1: one\n    argument 2: two\n    1\n" in result.stdout
    assert result.stdout.count("Running") == 2
    assert 'pod "hello" deleted' in result.stdout
    assert "Nothing is left running." in result.stdout
