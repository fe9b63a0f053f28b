"""`make demo`: a small cluster, real kubectl and WebAssembly pods, from nothing to nothing.

Every step is a command that you can type yourself; this script only types them for you, says what they are
for and waits where one has to wait. It keeps its state in a temporary folder and ends every process that it
started.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
IMAGES_IN_MANIFESTS = "localhost:5050"
READY_SECONDS = 60
COMMAND_SECONDS = 120

console = Console(highlight=False)


class StepFailedError(Exception):
    """A command of the demo did not do what it was for; the message holds what it printed."""


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, with a spinner on a terminal, and how long it took."""
    started = time.monotonic()
    with console.status(f"{text} …"):
        yield
    console.print(f"[green]✓[/] {text} [dim]({time.monotonic() - started:.1f} s)[/]")


def call(*command: str | Path, environment: Mapping[str, str] | None = None, show: str | None = None) -> str:
    """Run a command to its end; print it with its output when `show` names it as a person would type it."""
    result = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        raise StepFailedError(f"{show or command[0]} ended with {result.returncode}:\n{result.stdout}")
    if show is not None:
        console.print(f"[bold]  $ {show}[/]", soft_wrap=True)
        for line in result.stdout.splitlines():
            console.print(f"    {line}", markup=False, soft_wrap=True)
    return result.stdout


def compile_guest(name: str, target: Path) -> Path:
    """Compile one of the demo's C programs for WASI with the C compiler of the `ziglang` wheel."""
    module = target / f"{name}.wasm"
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os", "-s")
    call(*zig, "-o", module, HERE / f"{name}.c")
    return module


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Keep `proa up` running on free ports; yields kubectl's environment and the registry's address."""
    command = [str(BIN / "proa"), "up", "--data-dir", str(folder / "state")]
    command += ["--port", "0", "--registry-port", "0", "--kubelet-port", "0"]
    command += ["--ingress-port", "0", "--dns-port", "0", "--page-port", "0"]
    with (folder / "proa.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            with step("Start the cluster: control plane, node and registry, all on loopback"):
                addresses = wait_until_ready(process, folder / "proa.log")
            yield addresses
        finally:
            with step("Stop the cluster: pods, node, control plane, registry"):
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=30)
            if code != 0:
                raise StepFailedError(f"proa up ended with {code}:\n{(folder / 'proa.log').read_text()}")


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> tuple[dict[str, str], str]:
    """Read what `proa up` prints until it names the kubeconfig and the registry."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        printed = log.read_text()
        kubeconfig = re.search(r"export KUBECONFIG=(\S+)", printed)
        registry = re.search(r"registry\s+(localhost:\d+)", printed)
        if kubeconfig and registry:
            return {"KUBECONFIG": kubeconfig[1]}, registry[1]
        time.sleep(0.02)
    raise StepFailedError(f"the cluster did not become ready:\n{log.read_text()}")


def manifest(name: str, registry: str, folder: Path) -> Path:
    """Copy one of the demo's manifests with the images at this cluster's registry."""
    target = folder / f"{name}.yaml"
    target.write_text((HERE / f"{name}.yaml").read_text().replace(IMAGES_IN_MANIFESTS, registry))
    return target


def follow(command: list[str | Path], environment: Mapping[str, str], show: str) -> None:
    """Let a command print to this terminal as it goes."""
    console.print(f"[bold]  $ {show}[/]")
    with subprocess.Popen(
        [str(word) for word in command], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            console.print(f"    {line.rstrip()}", markup=False, soft_wrap=True)
    if process.returncode != 0:
        raise StepFailedError(f"{show} ended with {process.returncode}")


def demonstrate(folder: Path) -> None:
    """The demo itself, one command after another."""
    kubectl = BIN / "kubectl"
    with step("Compile two C programs to WebAssembly"):
        modules = {name: compile_guest(name, folder) for name in ("hello", "ticker")}
    with cluster(folder) as (environment, registry):
        with step("Push both modules to the cluster's registry"):
            for name, module in modules.items():
                image = f"{registry}/{name}:1"
                call(BIN / "proa", "push", module, image, show=f"proa push {name}.wasm {image}")
        for name in modules:
            file = manifest(name, registry, folder)
            call(kubectl, "apply", "-f", file, environment=environment, show=f"kubectl apply -f {name}.yaml")
        with step("Wait until the pod's program has started"):
            jsonpath = "jsonpath={.status.containerStatuses[0].started}"
            call(kubectl, "wait", "pod/hello", f"--for={jsonpath}", "--timeout=30s", environment=environment)
        console.print("The pod's log, followed to its end:")
        follow([kubectl, "logs", "-f", "hello"], environment, "kubectl logs -f hello")
        with step("Wait until the Deployment's two replicas are available"):
            rollout = ("rollout", "status", "deployment/ticker", "--timeout=30s")
            call(kubectl, *rollout, environment=environment)
        shown = ("get", "nodes,pods", "-o", "wide")
        call(kubectl, *shown, environment=environment, show="kubectl get nodes,pods -o wide")
        deleted = ("delete", "pod", "hello")
        call(kubectl, *deleted, environment=environment, show="kubectl delete pod hello")


def main() -> int:
    """Run the demo; 0 when every step did what it was for."""
    folder = Path(tempfile.mkdtemp(prefix="proa-demo-"))
    try:
        demonstrate(folder)
    except StepFailedError as error:
        console.print(f"[red]✗[/] {error}", markup=True)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print("Nothing is left running. To keep a cluster, type: [bold].venv/bin/proa up[/]")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
