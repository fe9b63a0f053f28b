"""Components of WASI 0.2 run as core modules do; which is which is told by the binary."""

import os
from pathlib import Path

import pytest
import wasmtime

from proa.wasm import (
    CompiledModule,
    ExitReason,
    Mount,
    Sandbox,
    Sandboxes,
    SandboxSpec,
    UnsupportedModuleError,
)
from proa.wasm.testing import componentize, read_to_end, read_until

RUN = """
(component
  {imports}
  (core module $program (func (export "run") (result i32) {body}))
  (core instance $program (instantiate $program))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@{version}" (instance $command)))
"""


async def start(sandboxes: Sandboxes, path: Path, *args: str, **spec: object) -> Sandbox:
    module = await sandboxes.compile(path)
    return await sandboxes.start(
        SandboxSpec(id="c", module=module, args=("guest", *args), user=os.geteuid(), **spec)  # type: ignore[arg-type]
    )


def written(tmp_path: Path, body: str = "i32.const 0", imports: str = "", version: str = "0.2.0") -> Path:
    path = tmp_path / "component.wasm"
    path.write_bytes(wasmtime.wat2wasm(RUN.format(body=body, imports=imports, version=version)))
    return path


@pytest.mark.parametrize("version", ["0.2.0", "0.2.6", "0.2.12"])
async def test_the_result_of_run_is_the_exit_code(sandboxes: Sandboxes, tmp_path: Path, version: str) -> None:
    end = await (await start(sandboxes, written(tmp_path, version=version))).wait()
    assert (end.exit_code, end.reason) == (0, ExitReason.EXITED)


async def test_a_run_that_returns_an_error_exits_with_1(sandboxes: Sandboxes, tmp_path: Path) -> None:
    end = await (await start(sandboxes, written(tmp_path, "i32.const 1"))).wait()
    assert (end.exit_code, end.reason) == (1, ExitReason.EXITED)


async def test_a_trap_of_a_component_is_told_as_any(sandboxes: Sandboxes, tmp_path: Path) -> None:
    end = await (await start(sandboxes, written(tmp_path, "unreachable"))).wait()
    assert (end.exit_code, end.reason) == (134, ExitReason.TRAPPED)
    assert "unreachable" in end.message


async def test_an_import_that_is_not_offered_is_named(sandboxes: Sandboxes, tmp_path: Path) -> None:
    imports = '(import "acme:store/keys@1.0.0" (instance))'
    with pytest.raises(UnsupportedModuleError, match=r"imports acme:store/keys@1\.0\.0"):
        await sandboxes.compile(written(tmp_path, imports=imports))


async def test_a_component_is_known_as_one_from_the_cache_too(sandboxes: Sandboxes, tmp_path: Path) -> None:
    path = written(tmp_path, "i32.const 0 (; another ;)")
    first = await sandboxes.compile(path)
    assert first.is_component
    assert await sandboxes.compile(path) == first


@pytest.fixture(scope="session")
def component(guest: Path) -> Path:
    made = componentize(guest)
    if made is None:
        pytest.skip("needs jco: npm install -g @bytecodealliance/jco")
    return made


async def test_arguments_environment_and_files_are_a_components_too(
    sandboxes: Sandboxes, component: Path, tmp_path: Path
) -> None:
    sandbox = await start(sandboxes, component, "args", "one", "zwölf")
    assert (await read_to_end(sandbox.stdout)).decode() == "guest\nargs\none\nzwölf\n"
    await sandbox.wait()
    await sandboxes.forget("c")
    sandbox = await start(sandboxes, component, "env", env={"A": "1"})
    assert await read_to_end(sandbox.stdout) == b"A=1\n"
    await sandbox.wait()
    await sandboxes.forget("c")
    mounts = (Mount(tmp_path, "/data"),)
    sandbox = await start(sandboxes, component, "put", "/data/out", "from a component", mounts=mounts)
    assert (await sandbox.wait()).exit_code == 0
    assert (tmp_path / "out").read_text() == "from a component"


async def test_a_component_has_no_more_memory_than_its_limit(sandboxes: Sandboxes, component: Path) -> None:
    end = await (await start(sandboxes, component, "bomb", "64", memory_limit=32 << 20)).wait()
    assert (end.exit_code, end.reason) == (137, ExitReason.OUT_OF_MEMORY)


async def test_a_component_that_sleeps_is_killed_at_once(sandboxes: Sandboxes, component: Path) -> None:
    sandbox = await start(sandboxes, component, "sleep")
    await read_until(sandbox.stdout, b"sleeping\n")
    sandbox.kill()
    assert (await sandbox.wait()).reason == ExitReason.KILLED


async def test_no_path_of_a_component_leads_out_of_a_mount(
    sandboxes: Sandboxes, component: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "secret")
    for path in ("/data/link", "/data/../secret", "/etc/passwd"):
        sandbox = await start(sandboxes, component, "cat", path, mounts=(Mount(inside, "/data"),))
        assert await read_to_end(sandbox.stdout) == b""
        assert (await sandbox.wait()).exit_code == 1
        await sandboxes.forget("c")


async def test_a_damaged_cache_entry_is_compiled_anew(state_dir: Path, tmp_path: Path, guest: Path) -> None:
    async def compiled() -> CompiledModule:
        async with Sandboxes.open(state_dir, tmp_path / "cache") as opened:
            module = await opened.compile(guest)
            await opened.shutdown()
        return module

    entry = (await compiled()).path
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    again = await compiled()
    assert again.path.read_bytes() != bytes(content)
