"""The pytest plugin, as projects have it that install Proa: in a pytest of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

MANUAL = Path(__file__).parents[3] / "docs/testing.md"
STRICT = """[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
AUTO = """
import asyncio
import unittest

import pytest

from proa.kube import Api
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta


async def create_and_count(kube_api):
    maps = Api(kube_api.client, ConfigMap, namespace="default")
    await maps.create(ConfigMap(metadata=ObjectMeta(name="a")))
    return len([found async for found in maps.list()])


async def test_without_a_mark(kube_api):
    assert await create_and_count(kube_api) == 1


async def test_isolated_from_the_first(kube_api):
    assert await create_and_count(kube_api) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_in_a_wider_loop(kube_api):
    assert await create_and_count(kube_api) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_in_the_same_wider_loop(kube_api):
    assert await create_and_count(kube_api) == 1


def test_loops_one_after_the_other(kube_api):
    assert asyncio.run(create_and_count(kube_api)) == 1
    kube_api.restart()
    maps = Api(kube_api.client, ConfigMap, namespace="default")
    assert asyncio.run(maps.get("a")).metadata.name == "a"


@pytest.mark.usefixtures("held")
class TestOfUnittest(unittest.TestCase):
    def test_it(self):
        assert asyncio.run(create_and_count(self.kube_api)) == 1


@pytest.fixture
def held(request, kube_api):
    request.instance.kube_api = kube_api
"""


def run_pytest(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_every_example_of_the_manual_passes_in_strict_mode(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    (tmp_path / "pytest.ini").write_text(STRICT)
    output = run_pytest(tmp_path)
    count = sum(example.count("def test_") for example in examples)
    assert re.search(rf"^{count} passed", output, re.MULTILINE), output


def test_every_kind_of_test_can_use_it_in_auto_mode(tmp_path: Path) -> None:
    (tmp_path / "test_auto.py").write_text(AUTO)
    (tmp_path / "pytest.ini").write_text(STRICT.replace("strict", "auto"))
    output = run_pytest(tmp_path)
    assert re.search(r"^6 passed", output, re.MULTILINE), output


def test_it_loads_nothing_until_it_is_used() -> None:
    program = """
import pytest, sys
before = set(sys.modules)
import proa.controlplane.pytest_plugin
loaded = set(sys.modules) - before
sys.exit(" ".join(sorted(name for name in loaded if not name.startswith("proa"))) or len(loaded) > 4)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
