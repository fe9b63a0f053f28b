"""Certificates that are made in a copy of the process, which takes the memory for that with it."""

import os
import subprocess
import sys
from pathlib import Path

from proa.controlplane.security._pki import Pki, begin_making

PROGRAM = """
import asyncio, sys
from pathlib import Path
from proa.controlplane import ApiServer, ApiServerSettings

async def main(directory):
    async with ApiServer(ApiServerSettings(data_dir=directory, port=0), lean=True) as server:
        print(server.kubeconfig.exists(), "cryptography" in sys.modules)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_lean_server_never_loads_what_makes_them(tmp_path: Path) -> None:
    for _ in range(2):  # the second time there is nothing to make
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.stdout == "True False\n", done.stderr


def test_what_a_copy_makes_is_what_is_missing(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    assert not Pki.is_complete(directory, ["127.0.0.1"])
    pid = begin_making(directory, ["127.0.0.1"])
    assert pid is not None
    os.waitpid(pid, 0)
    made = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert Pki.is_complete(directory, ["127.0.0.1"])
    assert begin_making(directory, ["127.0.0.1"]) is None
    assert Pki(directory, ["127.0.0.1"]).administrator.certificate == made["admin.crt"]
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == made
    assert not Pki.is_complete(directory, ["127.0.0.1", "10.0.0.1"])


def test_a_copy_that_can_make_nothing_leaves_telling_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("in the way")
    pid = begin_making(tmp_path / "pki", [])
    assert pid is not None
    os.waitpid(pid, 0)
    assert (tmp_path / "pki").read_text() == "in the way"
