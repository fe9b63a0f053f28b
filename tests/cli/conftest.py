"""A running `proa up`, and the commands run as a person runs them: as processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proa.wasm.testing import compile_c

BIN = Path(sys.executable).parent
READY_SECONDS = 30

HELLO = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
    const char *word = getenv("WORD");
    if (word) printf("word %s\n", word);
    const char *code = getenv("CODE");
    return code ? atoi(code) : 0;
}
"""
SLEEPER = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { puts("awake"); fflush(stdout); for (;;) sleep(1000); }
"""


@dataclass
class Cluster:
    """A `proa up` that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    kubeconfig: Path
    registry: str

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(timeout=30)


def proa(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [BIN / "proa", *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def start_cluster(data_dir: Path, *options: str) -> Cluster:
    """Start `proa up` on free ports and wait until it says that it is up."""
    log = data_dir.parent / f"{data_dir.name}.log"
    command = [str(BIN / "proa"), "up", "--data-dir", str(data_dir)]
    command += ["--port", "0", "--registry-port", "0", "--kubelet-port", "0", *options]
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        printed = log.read_bytes()[start:].decode()
        kubeconfig = re.search(r"export KUBECONFIG=(\S+)", printed)
        registry = re.search(r"registry\s+(localhost:\d+)", printed)
        if kubeconfig and registry:
            return Cluster(process, log, Path(kubeconfig[1]), registry[1])
        time.sleep(0.01)
    process.kill()
    process.wait()
    pytest.fail(f"proa up did not become ready:\n{log.read_text()}")


@pytest.fixture(scope="session")
def hello() -> Path:
    return compile_c(HELLO)


@pytest.fixture(scope="session")
def sleeper() -> Path:
    return compile_c(SLEEPER)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = start_cluster(tmp_path_factory.mktemp("up") / "state")
    yield running
    assert running.stop() == 0, running.log.read_text()
