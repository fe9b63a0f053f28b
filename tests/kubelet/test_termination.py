"""Termination messages."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from proa.kube.models.core_v1 import Container, Pod, Volume, VolumeMount
from proa.kubelet import _cri, _termination_message
from proa.kubelet._termination_message import Place
from proa.kubelet._volumes import ProvidedVolume

Cluster = Any


def end(pod: Pod) -> Any:
    return pod.status.container_statuses[0].state.terminated


async def test_what_the_guest_leaves_in_the_file_is_its_message(node: Cluster) -> None:
    await node.run("write", "/dev/termination-log")
    assert end(await node.until_phase("Succeeded")).message == "written\n"


async def test_the_file_may_be_elsewhere_and_in_a_volume(node: Cluster) -> None:
    mounts = [VolumeMount(name="v", mount_path="/v", sub_path="sub")]
    fields = {"volumes": [Volume(name="v")], "volume_mounts": mounts}
    await node.run("write", "/v/message", termination_message_path="/v/message", **fields)
    assert end(await node.until_phase("Succeeded")).message == "written\n"


async def test_a_failed_container_without_a_message_shows_the_end_of_its_log(node: Cluster) -> None:
    policy = {"termination_message_policy": "FallbackToLogsOnError"}
    await node.run("say", "first", "say", "last words", "exit", "3", **policy)
    assert end(await node.until_phase("Failed")).message == "first\nlast words\n"
    await node.run("say", "fine", name="well", **policy)
    assert end(await node.until_phase("Succeeded", "well")).message is None


async def test_each_instance_has_a_message_of_its_own(node: Cluster) -> None:

    await node.run(
        "write", "/dev/termination-log", "exit", "1", restart_policy="Always", termination_message_path=None
    )
    pod = await node.until(lambda pod: pod.status.container_statuses[0].restart_count >= 3)
    assert pod.status.container_statuses[0].last_state.terminated.message == "written\n"
    folder = node.directory / "kubelet" / "pods" / f"default_pod_{pod.metadata.uid}" / "main"
    assert len([path for path in folder.iterdir() if path.name.endswith(".end")]) <= 2


@pytest.mark.parametrize("trick", ["link", "directory", "pipe", "absent"])
def test_only_a_regular_file_is_read(tmp_path: Path, trick: str) -> None:
    (tmp_path / "secret").write_text("secret")
    base = tmp_path / "base"
    base.mkdir()
    file = base / "message"
    if trick == "link":
        file.symlink_to(tmp_path / "secret")
    elif trick == "directory":
        file.mkdir()
    elif trick == "pipe":
        os.mkfifo(file)
    assert _termination_message.read(Place(base, PurePosixPath("message")), 100) == ""


def test_a_message_is_cut(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(b"x" * 9000)
    assert _termination_message.most(1) == 4096
    assert _termination_message.most(12) == 1024
    assert len(_termination_message.read(Place(tmp_path, PurePosixPath("message")), 1024)) == 1024


def test_no_link_in_a_volume_leads_to_a_message(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "sub").symlink_to(tmp_path)
    container = Container(
        name="c",
        termination_message_path="/v/sub/secret",
        volume_mounts=[VolumeMount(name="v", mount_path="/v")],
    )
    place = _termination_message.place(container, tmp_path, {"v": ProvidedVolume(volume)})
    assert place is not None
    assert _termination_message.read(place, 100) == ""


def test_the_end_of_a_long_log_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(_cri.encode(b"line %d\n" % number, "stdout", 0) for number in range(5000)))
    text = _termination_message.end_of_log(log, 4096)
    assert text.endswith("line 4999\n")
    assert len(text) <= 2048
    assert text.count("\n") <= 81
