"""Backups of running servers, and what a restore leaves behind, also when it is killed."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proa.cli import main
from proa.controlplane import ControlPlaneError
from proa.controlplane.storage import CompactedError, Key, Store, back_up, restore
from proa.controlplane.testing import KubeApi
from proa.kube import Api, Client, Config, GoneError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta

A, B = Key("maps", "default", "a"), Key("maps", "default", "b")


def document(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "a", "uid": "u"}, "data": data}


async def prepared(directory: Path, backup: Path) -> int:
    """A directory whose state has gone on since its backup; returns the newest revision."""
    await asyncio.to_thread((directory / "pki").mkdir, parents=True)
    (directory / "pki/ca.key").write_bytes(b"old key")
    async with Store(directory) as store:
        await store.put(A, document(of="backup"))
        await asyncio.to_thread(back_up, directory, backup)
        await store.put(A, document(of="later"))
        await store.put(B, document(of="later"))
        (directory / "pki/ca.key").write_bytes(b"new key")
        return store.revision


async def contents(directory: Path) -> tuple[dict[str, Any] | None, bool, bytes]:
    async with Store(directory) as store:
        stored = store.get(A)
        data = stored.document()["data"] if stored else None
        return data, store.get(B) is not None, (directory / "pki/ca.key").read_bytes()


class _KilledError(BaseException):
    """As good as a kill: nothing catches it."""


BEFORE = ({"of": "later"}, True, b"new key")
AFTER = ({"of": "backup"}, False, b"old key")


async def test_a_restore_brings_back_objects_and_keys_of_one_moment(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    await prepared(state, backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(restore, backup, state) == 1
    assert await contents(state) == AFTER
    assert sorted(path.name for path in state.iterdir()) == ["apiserver.lock", "objects.db", "pki"]


async def test_versions_seen_before_a_restore_are_compacted(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    newest = await prepared(state, backup)
    await asyncio.to_thread(restore, backup, state)
    async with Store(state) as store:
        assert store.revision > newest
        with pytest.raises(CompactedError):
            store.history.since("maps", newest)
        with pytest.raises(CompactedError):
            store.history.since("others", newest)
        assert (await store.put(B, document())).revision > newest


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_a_restore_killed_half_way_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    await prepared(state, backup)
    left = iter(range(steps))

    def dying(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def moved(path: Path, target: Path) -> Path:
            if next(left, None) is None:
                raise _KilledError
            return move(path, target)

        return moved

    monkeypatch.setattr(Path, "rename", dying(Path.rename))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    if steps < 3:
        with pytest.raises(_KilledError):
            await asyncio.to_thread(restore, backup, state)
    else:
        await asyncio.to_thread(restore, backup, state)
    monkeypatch.undo()
    assert await contents(state) == (BEFORE if steps == 0 else AFTER)


async def test_a_running_server_is_left_alone(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    await prepared(state, backup)
    async with Store(state):
        with pytest.raises(ControlPlaneError, match="another API server is using"):
            await asyncio.to_thread(restore, backup, state)
    assert await contents(state) == BEFORE


async def test_what_is_no_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    await prepared(state, backup)
    damaged = bytearray(backup.read_bytes())
    damaged[4096:6000] = b"x" * 1904
    wrong = {"text": b"no database", "damaged": bytes(damaged), "empty": b""}
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ControlPlaneError, match="damaged, or no backup"):
            await asyncio.to_thread(restore, tmp_path / name, state)
    with pytest.raises(ControlPlaneError, match="no such file"):
        await asyncio.to_thread(restore, tmp_path / "nowhere", state)
    assert await contents(state) == BEFORE


def test_a_backup_that_cannot_be_taken_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneError, match="--data-dir"):
        back_up(tmp_path / "nowhere", tmp_path / "backup")
    (tmp_path / "objects.db").write_bytes(b"no database")
    with pytest.raises(ControlPlaneError, match="cannot back up"):
        back_up(tmp_path, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["objects.db"]


def test_a_cluster_moves_with_its_credentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kube_api: KubeApi
) -> None:
    """A server backed up by the command while it runs; another made of it, which knows the old kubeconfig."""
    maps = Api(kube_api.client, ConfigMap, namespace="default")
    asyncio.run(maps.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"kept": "yes"})))
    jane = Config.from_kubeconfig(kube_api.kubeconfig_for("jane", ["system:masters"]))
    file, there = str(tmp_path / "file"), tmp_path / "there"
    assert main(["backup", file, "--data-dir", str(kube_api.kubeconfig.parent)]) == 0
    assert main(["restore", file, "--data-dir", str(there)]) == 0
    said = capsys.readouterr().out
    assert "it holds the cluster's keys" in said
    assert f"objects to {there}" in said

    async def look(server: str) -> None:
        async with Client(dataclasses.replace(jane, server=server)) as client:
            moved = Api(client, ConfigMap, namespace="default")
            assert (await moved.get("a")).data == {"kept": "yes"}
            with pytest.raises(GoneError):
                async for _ in moved.watch("5"):
                    pass

    with KubeApi(there) as moved:
        asyncio.run(look(moved.url))


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", str(tmp_path / "file"), "--data-dir", str(tmp_path / "nowhere")]) == 1
    assert main(["restore", str(tmp_path / "file"), "--data-dir", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("proa: ") for line in lines] == [True, True]
