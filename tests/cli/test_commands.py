"""What a person gets who types a command, rightly or wrongly."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proa import __version__
from proa.cli.testing import Up, proa, up
from proa.wasm.testing import end_zygote

pytestmark = pytest.mark.xdist_group("cli")


def one_line(text: str) -> str:
    """The one line for the user; what the log says of parts that were started before is beside it."""
    lines = [line for line in text.splitlines() if not line.startswith('{"time"')]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_version_names_proa_and_its_engine() -> None:
    result = proa("version")
    assert result.returncode == 0
    assert result.stdout.startswith(f"proa {__version__} (Python 3.")
    assert "wasmtime" in result.stdout


def test_help_lists_every_command() -> None:
    result = proa("--help")
    assert result.returncode == 0
    for name in ("up", "run", "push", "apiserver", "kubelet", "registry", "version"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", ["up", "run", "push", "apiserver", "kubelet", "registry"])
def test_each_command_explains_itself(name: str) -> None:
    result = proa(name, "--help")
    assert result.returncode == 0
    assert f"proa {name}" in result.stdout


def test_a_mistyped_command_is_answered_with_the_one_meant() -> None:
    result = proa("registri")
    assert result.returncode == 2
    assert "did you mean 'registry'?" in one_line(result.stderr)


def test_wrong_settings_are_reported_together_by_name() -> None:
    result = proa("apiserver", PROA_PORT="many", PROA_TOKEN_AUTH_FILE="")
    assert result.returncode == 2
    assert "PROA_PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_run_returns_the_guests_exit_code_and_prints_its_log(cluster: Up, hello: Path) -> None:
    result = proa(
        "run",
        hello,
        "--env",
        "WORD=ahoy",
        "--env",
        "CODE=7",
        "--",
        "one",
        "--two",
        KUBECONFIG=str(cluster.kubeconfig),
    )
    assert (result.returncode, result.stdout) == (7, "argument one\nargument --two\nword ahoy\n"), (
        result.stderr
    )


def test_run_of_something_that_is_no_module_is_one_line(cluster: Up, tmp_path: Path) -> None:
    text = tmp_path / "notes.wasm"
    text.write_text("not WebAssembly")
    result = proa("run", text, KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode == 1
    assert "notes.wasm" in one_line(result.stderr)


def test_run_of_a_missing_file_is_one_line(cluster: Up, tmp_path: Path) -> None:
    result = proa("run", tmp_path / "absent.wasm", KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode in {1, 2}
    assert "absent.wasm" in one_line(result.stderr)


def test_a_missing_kubeconfig_is_one_line_that_names_it(tmp_path: Path, hello: Path) -> None:
    result = proa("run", hello, "--kubeconfig", tmp_path / "absent")
    assert result.returncode in {1, 2}
    assert str(tmp_path / "absent") in one_line(result.stderr)


def test_a_push_to_a_registry_that_is_down_is_one_line(hello: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = proa("push", hello, f"localhost:{port}/hello:1")
    assert result.returncode == 1
    assert f"localhost:{port}" in one_line(result.stderr)


def test_push_prints_the_digest(cluster: Up, hello: Path) -> None:
    result = proa("push", hello, f"{cluster.registry}/pushed:1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{cluster.registry}/pushed:1@sha256:")


@pytest.mark.parametrize("command", ["apiserver", "registry"])
def test_a_port_in_use_is_one_line(tmp_path: Path, command: str) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        result = proa(command, "--data-dir", tmp_path / "state", "--port", str(port))
    assert result.returncode == 1
    assert str(port) in one_line(result.stderr)


@pytest.mark.parametrize("command", ["up", "apiserver", "registry"])
def test_a_state_directory_that_is_a_file_is_one_line(tmp_path: Path, command: str) -> None:
    state = tmp_path / "state"
    state.write_text("")
    result = proa(command, "--data-dir", state, "--port", "0")
    assert result.returncode == 1
    assert str(state) in one_line(result.stderr)


def test_a_corrupt_database_is_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    with up(tmp_path / "state") as cluster:
        assert cluster.stop() == 0
    (database,) = (tmp_path / "state").glob("*.db")
    database.write_bytes(b"this is not a database, and not an empty one" * 100)
    result = proa("apiserver", "--data-dir", tmp_path / "state", "--port", "0")
    assert result.returncode == 1
    assert str(database) in one_line(result.stderr)
    assert database.read_bytes().startswith(b"this is not a database")


def test_a_second_up_finds_every_object_and_its_pods_run_again(tmp_path: Path, sleeper: Path) -> None:
    with up(tmp_path / "state") as first:
        run_sleeper(first, sleeper)
        first.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        uid = first.kubectl("get", "pod", "sleeper", "-o", "jsonpath={.metadata.uid}")
        assert first.stop(signal.SIGINT) == 0, first.log.read_text()
    with up(tmp_path / "state") as second:
        assert second.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
        restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
        second.kubectl("wait", "pod/sleeper", f"--for={restarted}", "--timeout=20s")
        second.kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=20s")
        assert second.kubectl("get", "pod", "sleeper", "-o", "jsonpath={.metadata.uid}") == uid
        assert second.stop() == 0, second.log.read_text()


def test_up_leaves_no_process_behind(tmp_path: Path, sleeper: Path) -> None:
    with up(tmp_path / "state") as cluster:
        run_sleeper(cluster, sleeper)
        assert processes_of(tmp_path)
        assert cluster.stop() == 0, cluster.log.read_text()
    assert processes_of(tmp_path) == []


@contextmanager
def background(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a command running."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_sleeper(cluster: Up, module: Path) -> None:
    """Bring a pod to run that never ends."""
    image = f"{cluster.registry}/sleeper:1"
    assert proa("push", module, image).returncode == 0
    cluster.kubectl("run", "sleeper", f"--image={image}")
    cluster.kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=20s")


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that were started with `folder` or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command or f"={folder}" in environment:
            found.append(command)
    return found


def test_run_without_a_cluster_says_how_to_start_one(tmp_path: Path, hello: Path) -> None:
    with up(tmp_path / "state") as cluster:
        kubeconfig = cluster.kubeconfig
        assert cluster.stop() == 0
    result = proa("run", hello, "--kubeconfig", kubeconfig)
    assert result.returncode == 1
    assert "`proa up` starts a cluster" in one_line(result.stderr)


def test_an_interrupted_run_leaves_no_pod(cluster: Up, sleeper: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    command = [sys.executable, "-m", "proa.cli", "run", str(sleeper)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "awake\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert "sleeper" not in cluster.kubectl("get", "pods", "-o", "name")


def test_a_node_joins_with_a_kubeconfig_and_its_pods_outlive_it(tmp_path: Path, sleeper: Path) -> None:
    with up(tmp_path / "state") as cluster:
        command = [sys.executable, "-m", "proa.cli", "kubelet", "--kubeconfig", str(cluster.kubeconfig)]
        command += ["--node-name", "second", "--data-dir", str(tmp_path / "second"), "--port", "0"]
        image = f"{cluster.registry}/sleeper:1"
        assert proa("push", sleeper, image).returncode == 0
        with background(command) as kubelet:
            assert kubelet.stdout is not None
            assert kubelet.stdout.readline().startswith(b"Node second is registered")
            override = json.dumps({"apiVersion": "v1", "spec": {"nodeName": "second"}})
            cluster.kubectl("run", "there", f"--image={image}", f"--overrides={override}")
            cluster.kubectl("wait", "pod/there", "--for=condition=Ready", "--timeout=20s")
            kubelet.kill()
            kubelet.wait()
        with background(command) as kubelet:
            assert kubelet.stdout is not None
            assert kubelet.stdout.readline().startswith(b"Node second is registered")
            assert cluster.kubectl("logs", "there") == "awake\n"
            cluster.kubectl("delete", "pod", "there", "--timeout=20s")
            kubelet.terminate()
            assert kubelet.wait(timeout=20) == 0
        assert cluster.stop() == 0
    end_zygote(tmp_path / "second" / "sandboxes")
