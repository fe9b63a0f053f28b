"""Whatever comes, the server answers, soon, and never with 500.

Requests of the recorded scenarios are mutated at random: bodies as JSON and as bytes, paths, queries, and
headers. `PROA_MUTATED_REQUESTS` says how many (100,000 take some minutes), `PROA_MUTATION_SEED` where the
randomness starts.
"""

import asyncio
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proa.controlplane import ApiServer

COUNT = int(os.environ.get("PROA_MUTATED_REQUESTS", "3000"))
SEED = int(os.environ.get("PROA_MUTATION_SEED", "1"))
AT_ONCE = 16
SECONDS_FOR_ONE = 20

pytestmark = pytest.mark.timeout(60 + COUNT // 10)

EXCHANGES = json.loads((Path(__file__).parent / "conformance/exchanges.json").read_bytes())
STEPS = [
    step
    for scenario in EXCHANGES
    for step in scenario["steps"]
    if step["method"] in {"GET", "POST", "PUT", "PATCH", "DELETE"}
]
FIXED = re.compile(r"\$\{[^}]*\}")
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, -(2**63), 2**64, 1e308, 0.5, "", "a", "A_b", "-", "x" * 300,
    "\u0000", "é\u202e", "1Gi", "-5m", "1e999", "25%", "2026-01-01T00:00:00Z", "None", [], {}, [[]], [{}],
    [None], {"": None}, {"a": {"b": {}}}, {"$patch": "delete"}, {"$patch": "replace"}, [{"$patch": "x"}],
    {"$retainKeys": ["a"]}, [{"name": "a"}, {"name": "a"}], {"key": 1}, [1, "1", 1.0], ["a", "a"],
]  # fmt: skip
KEYS = ["name", "spec", "metadata", "labels", "$patch", "$setElementOrder/containers", "", "replicas", "x"]
TYPES = [
    "application/json", "application/yaml", "application/merge-patch+json", "application/json-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", "",
    "application/vnd.kubernetes.protobuf", "application/json; charset=latin-1",
]  # fmt: skip
ACCEPTS = [
    "application/json", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io", "*/*", "text/a",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=;v", ";;;,,=",
]  # fmt: skip
QUERIES = [
    "limit=1", "limit=-1", "limit=x", "continue=abc", "resourceVersion=1", "resourceVersion=x",
    "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan", "dryRun=All",
    "dryRun=x", "fieldManager=m", "fieldManager=m&force=true", "force=maybe", "fieldValidation=Strict",
    "labelSelector=a%20in%20(b", "labelSelector=!a,b=c", "labelSelector=%00", "fieldSelector=a.b=c",
    "fieldSelector=metadata.name=a,,", "watch=1&timeoutSeconds=1", "watch=1&sendInitialEvents=true",
    "timeoutSeconds=-1", "gracePeriodSeconds=-1", "gracePeriodSeconds=x", "propagationPolicy=x", "%zz=%",
    "pretty=true", "orphanDependents=true", "includeObject=x", "container=x&tailLines=x",
]  # fmt: skip
SEGMENTS = [
    "api", "apis", "v1", "apps", "namespaces", "default", "pods", "deployments", "status", "scale", "log",
    "exec", "", "..", "%2f", "%00", "%ff", "a" * 300, "a.b", "nodes", "events", "openapi", "v3", "watch",
    "proxy", "eviction", "binding", "finalize", "secrets", "horizontalpodautoscalers", "autoscaling",
]  # fmt: skip


class Mutator:
    """Requests drawn and changed at random, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> dict[str, Any]:
        """Arguments of a client's request."""
        choose = self._random
        step = choose.choice(STEPS)
        method = choose.choice(["GET", "POST", "PUT", "PATCH", "DELETE"]) if choose.random() < 0.1 else None
        body = step.get("body")
        kind = step.get("ct") or "application/json"
        if body is None and choose.random() < 0.3:
            body = choose.choice(STEPS).get("body")
        headers = {
            "Content-Type": choose.choice(TYPES) if choose.random() < 0.1 else kind,
            "Accept": choose.choice(ACCEPTS) if choose.random() < 0.2 else "application/json",
            "Accept-Encoding": "identity",
        }
        data = None if body is None else self._bytes(self._value(body, 3))
        url = self._path(FIXED.sub("x", step["path"]).replace(" ", "%20"))
        return {"method": method or step["method"], "url": url, "headers": headers, "data": data}

    def _value(self, value: Any, changes: int) -> Any:
        for _ in range(self._random.randint(0, changes)):
            value = self._changed(value)
        return value

    def _changed(self, value: Any) -> Any:
        choose = self._random
        if type(value) is dict and value and choose.random() < 0.85:
            key = choose.choice(list(value))
            if choose.random() < 0.1:
                return {name: item for name, item in value.items() if name != key}
            if choose.random() < 0.1:
                return value | {choose.choice(KEYS): choose.choice(VALUES)}
            return value | {key: self._changed(value[key])}
        if type(value) is list and value and choose.random() < 0.85:
            index = choose.randrange(len(value))
            if choose.random() < 0.1:
                return value + value[index : index + 1]
            return [*value[:index], self._changed(value[index]), *value[index + 1 :]]
        return choose.choice(VALUES)

    def _bytes(self, value: Any) -> bytes:
        choose = self._random
        data = value.encode() if type(value) is str else json.dumps(value).encode()
        if choose.random() < 0.9 or not data:
            return data
        at = choose.randrange(len(data))
        match choose.randrange(5):
            case 0:
                return data[:at]
            case 1:
                return data[:at] + bytes([choose.randrange(256)]) + data[at + 1 :]
            case 2:
                return data[:at] + b"\xff\xfe" + data[at:]
            case 3:
                return b'{"a":' * 5000 + data
        return data[:at] + data[at // 2 : at] * 3 + data[at:]

    def _path(self, path: str) -> str:
        choose = self._random
        path, _, query = path.partition("?")
        if choose.random() < 0.2:
            parts = path.split("/")
            parts[choose.randrange(1, len(parts))] = choose.choice(SEGMENTS)
            path = "/".join(parts)
        if choose.random() < 0.1:
            path += "/" + choose.choice(SEGMENTS)
        if choose.random() < 0.25:
            query = "&".join(filter(None, [query, choose.choice(QUERIES)]))
        return path + ("?" + query if query else "")


ALLOWED = {501, 502, 503, 504}
"""Not there yet, a node that does not answer, and a resource version from the future."""


async def test_mutated_requests_are_answered_and_never_with_500(server: ApiServer) -> None:
    mutator = Mutator(SEED)
    failures: list[tuple[int, int | str, URL, dict[str, Any]]] = []
    requests = iter(range(COUNT))

    async def prepare(session: aiohttp.ClientSession) -> None:
        """What the recorded requests are about is there."""
        for step in STEPS:
            if step["method"] == "POST":
                async with session.post(server.url + step["path"], json=step.get("body")):
                    pass

    async def work(session: aiohttp.ClientSession) -> None:
        for number in requests:
            wanted = mutator.request()
            url = URL(server.url + wanted.pop("url"), encoded=True)
            try:
                async with asyncio.timeout(SECONDS_FOR_ONE), session.request(url=url, **wanted) as response:
                    if "watch" not in str(url):
                        await response.read()
                    if response.status >= 500 and response.status not in ALLOWED:
                        failures.append((number, response.status, url, wanted))
            except TimeoutError:
                failures.append((number, "no answer", url, wanted))

    headers = {"Authorization": "Bearer admin-token"}
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        await prepare(session)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work(session))
    assert not failures, failures[:5]
