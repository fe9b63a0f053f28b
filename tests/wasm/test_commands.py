"""Modules that the zygote keeps linked: always those that lie in the cache now, and not too many."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from wasmtime import Module

from proa.wasm import CompiledModule, Outbound, SandboxSpec
from proa.wasm._commands import MOST, Commands
from proa.wasm._engine import Runtime

COMMAND = '(module (func (export "_start")) (memory (export "memory") 1))'

Make = Callable[[str], SandboxSpec]


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime.create()


@pytest.fixture
def make(runtime: Runtime, tmp_path: Path) -> Make:
    code = Module(runtime.engine, COMMAND).serialize()

    def make(name: str) -> SandboxSpec:
        entry = tmp_path / name
        entry.with_suffix(".new").write_bytes(code)
        entry.with_suffix(".new").replace(entry)
        return SandboxSpec(id=name, module=CompiledModule("0" * 64, entry, len(code)))

    return make


def test_a_module_is_linked_once(runtime: Runtime, make: Make) -> None:
    commands, spec = Commands(runtime), make("a")
    found = commands.find(spec)
    assert found is not None
    assert commands.find(spec) is found


def test_a_cache_entry_that_was_replaced_is_linked_anew(runtime: Runtime, make: Make) -> None:
    commands = Commands(runtime)
    before = commands.find(make("a"))
    spec = make("a")
    os.utime(spec.module.path, ns=(1, 1))  # The file system may give the same inode and a coarse time.
    assert commands.find(spec) not in {before, None}


def test_only_the_latest_are_kept(runtime: Runtime, make: Make) -> None:
    commands, specs = Commands(runtime), [make(str(number)) for number in range(MOST + 1)]
    first, *others = [commands.find(spec) for spec in specs]
    assert [commands.find(spec) for spec in specs[1:]] == others
    assert commands.find(specs[0]) is not first


def test_what_is_damaged_or_gone_is_left_to_the_child_to_tell(runtime: Runtime, make: Make) -> None:
    commands, damaged, gone = Commands(runtime), make("damaged"), make("gone")
    assert commands.find(gone)
    damaged.module.path.write_bytes(b"no machine code")
    gone.module.path.unlink()
    assert commands.find(damaged) is None
    assert commands.find(gone) is None


def test_modules_with_outbound_http_are_linked_by_the_child(runtime: Runtime, make: Make) -> None:
    spec = make("a")
    with_http = SandboxSpec(id="b", module=spec.module, outbound=Outbound(hosts=("http://a",)))
    assert Commands(runtime).find(with_http) is None
