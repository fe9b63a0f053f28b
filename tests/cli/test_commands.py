"""What a person gets who types a command, rightly or wrongly."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from proa import __version__

pytestmark = pytest.mark.xdist_group("cli")


class Result(Protocol):
    returncode: int
    stdout: str
    stderr: str


type_of_proa = Callable[..., Result]


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_version_names_proa_and_its_engine(proa: type_of_proa):
    result = proa("version")
    assert result.returncode == 0
    assert result.stdout.startswith(f"proa {__version__} (Python 3.")
    assert "wasmtime" in result.stdout


def test_help_lists_every_command(proa: type_of_proa):
    result = proa("--help")
    assert result.returncode == 0
    for name in ("up", "run", "push", "apiserver", "kubelet", "registry", "version"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", ["up", "run", "push", "apiserver", "kubelet", "registry"])
def test_each_command_explains_itself(proa: type_of_proa, name: str):
    result = proa(name, "--help")
    assert result.returncode == 0
    assert f"proa {name}" in result.stdout


def test_a_mistyped_command_is_answered_with_the_one_meant(proa: type_of_proa):
    result = proa("registri")
    assert result.returncode == 2
    assert "did you mean 'registry'?" in one_line(result.stderr)


def test_wrong_settings_are_reported_together_by_name(proa: type_of_proa):
    result = proa("apiserver", PROA_PORT="many", PROA_TOKEN_AUTH_FILE="")
    assert result.returncode == 2
    assert "PROA_PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_run_returns_the_guests_exit_code_and_prints_its_log(proa: type_of_proa, cluster: "Cluster", hello: Path):
    result = proa(
        "run", hello, "--env", "WORD=ahoy", "--env", "CODE=7", "--", "one", "--two", KUBECONFIG=str(cluster.kubeconfig)
    )
    assert (result.returncode, result.stdout) == (7, "argument one\nargument --two\nword ahoy\n"), result.stderr


def test_run_of_something_that_is_no_module_is_one_line(proa: type_of_proa, cluster: "Cluster", tmp_path: Path):
    text = tmp_path / "notes.wasm"
    text.write_text("not WebAssembly")
    result = proa("run", text, KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode == 1
    assert "notes.wasm" in one_line(result.stderr)


def test_run_of_a_missing_file_is_one_line(proa: type_of_proa, cluster: "Cluster", tmp_path: Path):
    result = proa("run", tmp_path / "absent.wasm", KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode in {1, 2}
    assert "absent.wasm" in one_line(result.stderr)


def test_a_missing_kubeconfig_is_one_line_that_names_it(proa: type_of_proa, tmp_path: Path, hello: Path):
    result = proa("run", hello, "--kubeconfig", tmp_path / "absent")
    assert result.returncode in {1, 2}
    assert str(tmp_path / "absent") in one_line(result.stderr)


def test_a_push_to_a_registry_that_is_down_is_one_line(proa: type_of_proa, hello: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = proa("push", hello, f"localhost:{port}/hello:1")
    assert result.returncode == 1
    assert f"localhost:{port}" in one_line(result.stderr)


def test_push_prints_the_digest(proa: type_of_proa, cluster: "Cluster", hello: Path):
    result = proa("push", hello, f"{cluster.registry}/pushed:1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{cluster.registry}/pushed:1@sha256:")


@pytest.mark.parametrize("command", ["apiserver", "registry"])
def test_a_port_in_use_is_one_line(proa: type_of_proa, tmp_path: Path, command: str):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        result = proa(command, "--data-dir", tmp_path / "state", "--port", str(port))
    assert result.returncode == 1
    assert str(port) in one_line(result.stderr)


@pytest.mark.parametrize("command", ["up", "apiserver", "registry"])
def test_a_state_directory_that_is_a_file_is_one_line(proa: type_of_proa, tmp_path: Path, command: str):
    state = tmp_path / "state"
    state.write_text("")
    result = proa(command, "--data-dir", state, "--port", "0")
    assert result.returncode == 1
    assert str(state) in one_line(result.stderr)


def test_a_corrupt_database_is_one_line_and_stays_as_it_is(proa: type_of_proa, tmp_path: Path, start_up: "Start"):
    cluster = start_up(tmp_path / "state")
    assert cluster.stop() == 0
    (database,) = (tmp_path / "state").glob("*.db")
    database.write_bytes(b"this is not a database, and not an empty one" * 100)
    result = proa("apiserver", "--data-dir", tmp_path / "state", "--port", "0")
    assert result.returncode == 1
    assert str(database) in one_line(result.stderr)
    assert database.read_bytes().startswith(b"this is not a database")


def test_a_second_up_finds_every_object_and_the_pods_run_again(
    proa: type_of_proa, kubectl: "Kubectl", tmp_path: Path, start_up: "Start", sleeper: Path
):
    first = start_up(tmp_path / "state")
    image = f"{first.registry}/sleeper:1"
    assert proa("push", sleeper, image).returncode == 0
    kubectl(first, "create", "configmap", "kept", "--from-literal=a=b")
    kubectl(first, "run", "sleeper", f"--image={image}")
    kubectl(first, "wait", "pod/sleeper", "--for=condition=Ready", "--timeout=20s")
    before = json.loads(kubectl(first, "get", "pod", "sleeper", "-o", "json"))
    assert first.stop(signal.SIGINT) == 0

    second = start_up(tmp_path / "state", f"--registry-port={first.registry.rpartition(':')[2]}")
    assert kubectl(second, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    kubectl(second, "wait", "pod/sleeper", f"--for={restarted}", "--timeout=20s")
    kubectl(second, "wait", "pod/sleeper", "--for=condition=Ready", "--timeout=20s")
    after = json.loads(kubectl(second, "get", "pod", "sleeper", "-o", "json"))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert second.stop() == 0


def test_up_leaves_no_process_behind(tmp_path: Path, kubectl: "Kubectl", proa: type_of_proa, start_up: "Start", sleeper: Path):
    cluster = start_up(tmp_path / "state")
    assert proa("push", sleeper, f"{cluster.registry}/sleeper:1").returncode == 0
    kubectl(cluster, "run", "sleeper", f"--image={cluster.registry}/sleeper:1")
    kubectl(cluster, "wait", "pod/sleeper", "--for=condition=Ready", "--timeout=20s")
    assert processes_of(tmp_path)
    assert cluster.stop() == 0
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    """Command lines and working files of processes that mention `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found
