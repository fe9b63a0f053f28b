"""The store: durability, order, concurrency, and what happens when the disk or the process fails."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proa.controlplane import ControlPlaneError
from proa.controlplane._expiry import EventExpiry
from proa.controlplane.storage import CompactedError, Database, Event, History, Key, Store, Stored
from proa.controlplane.storage._store import StorageError

KEY = Key("pods", "default", "a")


def document(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, **more}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path) as opened:
        yield opened


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    async with Store(tmp_path) as first:
        await first.put(KEY, document(spec={"n": 1}))
        await first.put(Key("pods", "default", "b"), document("b"))
        removed = await first.remove(Key("pods", "default", "b"), document("b"))
    async with Store(tmp_path) as second:
        stored = second.get(KEY)
        assert stored is not None
        assert stored.document()["spec"] == {"n": 1}
        assert second.get(Key("pods", "default", "b")) is None
        assert second.revision == removed.revision
        assert (await second.put(KEY, document())).revision == removed.revision + 1


async def test_reads_see_committed_versions_and_writes_build_on_the_newest(store: Store) -> None:
    writing = asyncio.ensure_future(store.put(KEY, document()))
    await asyncio.sleep(0)
    assert store.get(KEY) is None
    assert store.latest(KEY) is not None
    stored = await writing
    assert store.get(KEY) is stored
    assert stored.document()["metadata"]["resourceVersion"] == str(stored.revision)


async def test_events_come_in_the_order_of_revisions(store: Store) -> None:
    seen: list[Event] = []
    end = store.subscribe("pods", seen.append)
    await asyncio.gather(*(store.put(Key("pods", "default", f"p{n}"), document(f"p{n}")) for n in range(300)))
    await store.remove(Key("pods", "default", "p7"), document("p7"))
    end()
    await store.put(KEY, document())
    revisions = [event.revision for event in seen]
    assert revisions == sorted(revisions)
    assert len(seen) == 301
    assert seen[-1].current is None


async def test_a_list_is_ordered_by_namespace_and_name(store: Store) -> None:
    for namespace, name in [("b", "a"), ("a", "z"), ("a", "b")]:
        await store.put(Key("pods", namespace, name), document(name))
    listed = [(one.key.namespace, one.key.name) for one in store.scan("pods")]
    assert listed == [("a", "b"), ("a", "z"), ("b", "a")]
    assert [one.key.name for one in store.scan("pods", "a", ("a", "b"))] == ["z"]
    assert store.count("pods") == 3


async def test_the_past_can_be_listed_until_it_is_forgotten(store: Store) -> None:
    first = await store.put(KEY, document(n=1))
    await store.put(KEY, document(n=2))
    await store.put(Key("pods", "default", "b"), document("b"))
    await store.remove(KEY, document())
    past = list(store.scan_at(first.revision, "pods"))
    assert [one.document()["n"] for one in past] == [1]


def test_history_forgets_beyond_its_window() -> None:
    history = History(window=2)
    for revision in (5, 6, 7):
        stored = Stored(KEY, "uid", revision, b"}")
        history.add(Event(KEY, revision, None, stored, stored))
    assert [event.revision for event in history.since("pods", 5)] == [6, 7]
    with pytest.raises(CompactedError):
        history.since("pods", 4)


async def test_a_watch_can_go_on_after_a_restart_if_nothing_happened_since(tmp_path: Path) -> None:
    async with Store(tmp_path) as first:
        pod = await first.put(KEY, document())
        await first.put(Key("nodes", "", "n"), document("n"))
    async with Store(tmp_path) as second:
        assert second.history.since("pods", pod.revision) == []
        with pytest.raises(CompactedError):
            second.history.since("pods", pod.revision - 1)


async def test_a_failed_commit_fails_what_builds_on_it_and_nothing_else(store: Store) -> None:
    database = store._database
    await store.put(KEY, document(n=1))
    await asyncio.to_thread(database._connection.execute, "PRAGMA query_only = 1")
    with pytest.raises(StorageError):
        await store.put(KEY, document(n=2))
    assert store.latest(KEY) is store.get(KEY)
    await asyncio.to_thread(database._connection.execute, "PRAGMA query_only = 0")
    stored = await store.put(KEY, document(n=3))
    assert stored.document()["n"] == 3


def test_a_second_server_on_the_same_directory_is_told_so(tmp_path: Path) -> None:
    database = Database(tmp_path)
    try:
        with pytest.raises(ControlPlaneError, match="another API server is using"):
            Database(tmp_path)
    finally:
        database.close()
    Database(tmp_path).close()


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "objects.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(ControlPlaneError, match=r"cannot use the database .*objects\.db"):
        Database(tmp_path)


def test_a_database_of_the_future_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "objects.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ControlPlaneError, match="format 99"):
        Database(tmp_path)


def test_a_state_directory_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlPlaneError, match="cannot use the state directory"):
        Database(tmp_path / "file")


WRITER = """
import asyncio, sys
from pathlib import Path
from proa.controlplane.storage import Key, Store

async def main():
    async with Store(Path(sys.argv[1])) as store:
        async def write(worker):
            number = 0
            while True:
                name = f"w{worker}-{number}"
                document = {"metadata": {"name": name, "uid": name}, "check": "x" * 2000 + name}
                await store.put(Key("pods", "default", name), document)
                print(name, flush=True)
                number += 1
        await asyncio.gather(*map(write, range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 40, 400])
def test_kill_minus_nine_loses_no_acknowledged_write_and_shows_no_half_one(
    tmp_path: Path, acknowledged: int
) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        names = [process.stdout.readline().strip() for _ in range(acknowledged)]
        os.kill(process.pid, signal.SIGKILL)
        names += [line.strip() for line in process.stdout if line.endswith("\n")]
    asyncio.run(check(tmp_path, names))


async def check(directory: Path, names: list[str]) -> None:
    async with Store(directory) as store:
        for name in names:
            assert store.get(Key("pods", "default", name)), f"{name} was acknowledged and is lost"
        for stored in store.scan("pods"):
            assert stored.document()["check"] == "x" * 2000 + stored.key.name


async def test_traces_of_removed_objects_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proa.controlplane.storage._database.TRACES_KEPT", 50)
    async with Store(tmp_path) as store:
        for number in range(200):
            key = Key("pods", "default", f"p{number}")
            await store.put(key, document(f"p{number}"))
            await store.remove(key, document(f"p{number}"))
        last = store.revision
        with sqlite3.connect(tmp_path / "objects.db") as connection:
            assert connection.execute("SELECT COUNT(*) FROM objects").fetchone()[0] <= 51
        connection.close()
    async with Store(tmp_path) as again:
        assert again.revision == last


async def test_the_file_shrinks_with_what_is_in_it(tmp_path: Path) -> None:
    keys = [Key("pods", "default", f"p{number}") for number in range(500)]
    async with Store(tmp_path) as store:
        await asyncio.gather(*(store.put(key, document(key.name, pad="x" * 4000)) for key in keys))
    full = (tmp_path / "objects.db").stat().st_size
    async with Store(tmp_path) as store:
        await asyncio.gather(*(store.remove(key, document(key.name)) for key in keys))
    async with Store(tmp_path):
        pass
    assert full > 2_000_000
    assert (tmp_path / "objects.db").stat().st_size < full / 20


async def test_events_go_an_hour_after_they_were_last_written(store: Store) -> None:
    now = 0.0
    async with EventExpiry(store, ttl=3600, clock=lambda: now) as expiry:
        for name in ("once", "again"):
            await store.put(Key("events", "default", name), document(name))
        now = 1800.0
        await store.put(Key("events", "default", "again"), document("again"))
        now = 3600.0
        await expiry.sweep()
        assert [stored.key.name for stored in store.scan("events")] == ["again"]
        now = 5400.0
        await expiry.sweep()
        assert not list(store.scan("events"))
