"""`kill -9` of the server under load, again and again: what was answered is there, and nothing half-written.

`PROA_TEST_KILLS=100` asks for more kills than the tests' usual few.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

KILLS = int(os.environ.get("PROA_TEST_KILLS", "8"))
WORKERS = 16
PATH = "/api/v1/namespaces/default/configmaps"
START_SECONDS = 60


@dataclass
class Known:
    """What a client knows of the objects: by name, the number last acknowledged; None is a removal."""

    acknowledged: dict[str, int | None] = field(default_factory=dict)
    asked: dict[str, int | None] = field(default_factory=dict)
    """Requests without an answer: they may have been carried out or not."""
    revision: int = 0
    answers: int = 0

    def allowed(self, name: str) -> set[int | None]:
        """The states that an object may be in."""
        allowed = {self.acknowledged.get(name)}
        return allowed | {self.asked[name]} if name in self.asked else allowed


@pytest.mark.timeout(60 + KILLS * 5)
async def test_what_was_answered_outlives_every_kill(tmp_path: Path) -> None:
    chance, known = random.Random(5), Known()
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('token,admin,1,"system:masters"\n')
    for kill in range(KILLS):
        process, url = await asyncio.to_thread(start, tmp_path / "state", tokens)
        try:
            async with session(url) as client:
                await compare(client, known)
                load = [asyncio.create_task(write(client, known, worker, kill)) for worker in range(WORKERS)]
                await until_answered(known, known.answers + chance.randrange(1, 400), load)
                process.send_signal(signal.SIGKILL)
                await asyncio.gather(*load)
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)
    process, url = await asyncio.to_thread(start, tmp_path / "state", tokens)
    try:
        async with session(url) as client:
            await compare(client, known)
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)
    assert known.answers > KILLS


def start(state: Path, tokens: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "proa.cli", "apiserver", "--port", "0", "--data-dir", str(state)]
    command += ["--token-auth-file", str(tokens), "--log-level", "warning"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, line.split()[-1]


def session(url: str) -> aiohttp.ClientSession:
    headers = {"Authorization": "Bearer token"}
    return aiohttp.ClientSession(url, headers=headers, connector=aiohttp.TCPConnector(ssl=False))


async def until_answered(known: Known, count: int, load: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while known.answers < count:
            for failed in (task for task in load if task.done()):
                failed.result()
            await asyncio.sleep(0)


async def write(client: aiohttp.ClientSession, known: Known, worker: int, kill: int) -> None:
    """Creates, replaces and removes objects of its own until the server is gone."""
    with suppress(aiohttp.ClientError, ConnectionError):
        for number in range(100_000):
            name = f"w{worker}-{number % 7}"
            await write_one(client, known, name, kill * 100_000 + number)


async def write_one(client: aiohttp.ClientSession, known: Known, name: str, number: int) -> None:
    exists = known.acknowledged.get(name) is not None
    removes = exists and number % 5 == 4
    known.asked[name] = None if removes else number
    if removes:
        request = client.delete(f"{PATH}/{name}")
    elif exists:
        request = client.put(f"{PATH}/{name}", json=config_map(name, number))
    else:
        request = client.post(PATH, json=config_map(name, number))
    async with request as response:
        answer = await response.json()
    assert response.status in {200, 201}, answer
    known.acknowledged[name] = known.asked.pop(name)
    known.answers += 1
    if not removes:
        known.revision = max(known.revision, int(answer["metadata"]["resourceVersion"]))


def config_map(name: str, number: int) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key: str(number) * 50 for key in ("first", "last")}}


async def compare(client: aiohttp.ClientSession, known: Known) -> None:
    """What is there against what may be there; afterwards that is what is known."""
    async with client.get(PATH) as response:
        found = await response.json()
    assert int(found["metadata"]["resourceVersion"]) >= known.revision
    seen: dict[str, int | None] = {}
    for one in found["items"]:
        data, name = one["data"], one["metadata"]["name"]
        number = int(data["first"][: len(data["first"]) // 50])
        assert data == config_map(name, number)["data"], f"{name} is half-written"
        seen[name] = number
    for name in known.acknowledged.keys() | known.asked.keys() | seen.keys():
        assert seen.get(name) in known.allowed(name), f"{name}: {known.allowed(name)}, not {seen.get(name)}"
    known.acknowledged, known.asked = seen, {}
