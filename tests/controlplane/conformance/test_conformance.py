"""Answers compared with those that a real kube-apiserver 1.36 gave to the same requests.

`exchanges.json` is a recording: scenarios of steps, each a request with the answer expected; uids, times,
versions and the like are masked. All steps that are not listed as open must give equal statuses and
bodies, managed fields included; our messages are our own words.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proa.controlplane import ApiServer

SCENARIOS = {
    scenario["name"]: scenario
    for scenario in json.loads((Path(__file__).parent / "exchanges.json").read_bytes())
}

OPEN: dict[str, set[str]] = {
    "watch": {"badrv"},  # Kubernetes answers 500
}
"""Steps that may still differ, by scenario. One whole scenario waits: custom resources."""
LATER: set[str] = set()

MASKED = {
    "uid",
    "resourceVersion",
    "continue",
    "token",
    "hash",
    "serverAddressByClientCIDRs",
    "storageVersionHash",
}
TIMES = {
    "creationTimestamp",
    "deletionTimestamp",
    "time",
    "lastTransitionTime",
    "lastUpdateTime",
    "lastProbeTime",
    "firstTimestamp",
    "lastTimestamp",
    "expirationTimestamp",
}
UID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def dig(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def fill(value: Any, seen: dict[str, Any]) -> Any:
    """A request with what earlier answers gave put into its `${STEP:PATH}` places."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+):([^}]+)\}", lambda match: str(dig(seen[match[1]], match[2])), value)
    if isinstance(value, dict):
        return {key: fill(item, seen) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, seen) for item in value]
    return value


def mask(value: Any, key: str = "") -> Any:
    """An answer without what differs from run to run."""
    if isinstance(value, dict):
        return _mask_object(value)
    if isinstance(value, list):
        return [mask(item, key) for item in value]
    if isinstance(value, str):
        text = re.sub(r"\b\d+s\b", "<age>", value) if key == "cells" else value
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", re.sub(UID, "<uid>", text))
    return value


def _mask_object(value: dict[str, Any]) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for key, item in value.items():
        if key in MASKED and isinstance(item, str | list):
            masked[key] = f"<{key}>" if item else item
        elif key in TIMES and isinstance(item, str):
            masked[key] = "<time>"
        elif key == "description" and isinstance(item, str):
            masked[key] = "<description>"
        elif key == "causes":
            masked[key] = sorted((mask(cause) for cause in item), key=json.dumps)
        else:
            masked[re.sub(UID, "<uid>", key)] = mask(item, key)
    base, name = value.get("generateName"), value.get("name")
    if base and isinstance(name, str) and name.startswith(base):
        masked["name"] = f"{base}<suffix>"
    return masked


def comparable(value: Any) -> Any:
    """What must be equal: all but the wording of messages."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "message"}
        return {key: comparable(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


async def answer(
    session: aiohttp.ClientSession, step: dict[str, Any], seen: dict[str, Any]
) -> dict[str, Any]:
    method, path, body = step["method"], fill(step["path"], seen), fill(step.get("body"), seen)
    if method == "WAIT":
        return await there(session, path)
    headers = {"Accept": step.get("accept") or "application/json"}
    token = step.get("token", "admin-token")
    headers["Authorization"] = f"Bearer {token}" if token else ""
    data = None
    if method.startswith("RAW"):
        headers["Content-Type"] = "application/yaml" if method == "RAWYAML" else "application/json"
        method, data = "POST", body
    elif body is not None:
        headers["Content-Type"] = step.get("ct") or "application/json"
        data = json.dumps(body)
    async with session.request(method.replace("WAITOK", "GET"), path, headers=headers, data=data) as response:
        text = await response.text()
        watches = "watch=1" in path or "/watch/" in path
        try:
            value = [json.loads(line) for line in text.splitlines()] if watches else json.loads(text)
        except ValueError:
            value = text
        seen[step["id"]] = value
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        warning = response.headers.get("Warning", "")
        return {"status": response.status, "type": media_type, "warning": mask(warning), "body": mask(value)}


async def there(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """What is recorded of waiting until a path is served."""
    async with asyncio.timeout(20):
        while True:
            async with session.get(path, headers={"Authorization": "Bearer admin-token"}) as response:
                if response.status == 200:
                    return {"status": 200, "body": {}}
            await asyncio.sleep(0)


async def replay(server: ApiServer, steps: list[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """The steps whose answers differ: id, what was expected, what came."""
    seen: dict[str, Any] = {}
    differing = []
    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(ssl=False)) as session:
        for step in steps:
            expected, got = comparable(step["expect"]), comparable(await answer(session, step, seen))
            if expected != got:
                differing.append((step["id"], expected, got))
    return differing


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - LATER))
async def test_answers_as_kubernetes_does(server: ApiServer, name: str) -> None:
    async with asyncio.timeout(40):
        differing = await replay(server, SCENARIOS[name]["steps"])
    assert {step for step, _, _ in differing} <= OPEN.get(name, set()), differing
