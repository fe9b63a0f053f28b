"""The `proa` command in tests, run as a person runs it: as a process.

`Up` is a cluster that lives as long as a `with` block: `proa up` on free ports, with kubectl to talk to it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Up", "proa", "up"]

BIN = Path(sys.executable).parent
COMMAND_SECONDS = 50
READY_SECONDS = 30
STOP_SECONDS = 30


def proa(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a `proa` command to its end, with these variables beside the process's own."""
    return subprocess.run(
        [sys.executable, "-m", "proa.cli", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class Up:
    """A `proa up` that runs.

    Attributes:
        process: The process.
        log: The file with all that it has printed.
        kubeconfig: The administrator's.
        registry: The registry's host and port.
        page: The link to the page of the cluster, which lets in once.
    """

    process: subprocess.Popen[bytes]
    log: Path
    kubeconfig: Path
    registry: str
    page: str

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, seconds: float = COMMAND_SECONDS
    ) -> str:
        """Run kubectl against the cluster, for at most `seconds`, and return what it printed.

        Raises:
            AssertionError: It failed; the message is its own.
        """
        result = subprocess.run(
            [str(BIN / "kubectl"), *map(str, arguments)],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert result.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {result.stderr}"
        return result.stdout

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, unless it has ended already, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=STOP_SECONDS)


@contextmanager
def up(data_dir: Path, *options: str) -> Iterator[Up]:
    """Keep `proa up` running on free ports with its state in `data_dir`; the log stands beside that.

    Raises:
        AssertionError: It did not become ready; the message is what it printed.
    """
    log = data_dir.with_suffix(".log")
    command = [sys.executable, "-m", "proa.cli", "up", "--data-dir", str(data_dir)]
    for port in ("port", "registry-port", "kubelet-port", "ingress-port", "dns-port", "page-port"):
        command += [f"--{port}", "0"]
    command += options
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield _until_ready(process, log, start)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: subprocess.Popen[bytes], log: Path, start: int) -> Up:
    deadline = time.monotonic() + READY_SECONDS
    printed = ""
    while time.monotonic() < deadline and process.poll() is None:
        printed = log.read_bytes()[start:].decode()
        kubeconfig = re.search(r"export KUBECONFIG=(\S+)", printed)
        registry = re.search(r"registry\s+(localhost:\d+)", printed)
        page = re.search(r"page\s+(\S+#login=\S+)", printed)
        if kubeconfig and registry and page:
            return Up(process, log, Path(kubeconfig[1]), registry[1], page[1])
        time.sleep(0.01)
    raise AssertionError(f"proa up did not become ready:\n{printed}")
