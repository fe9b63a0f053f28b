"""A guest runs in a sandbox as a program does under an operating system."""

import os

from proa.wasm import ExitReason, Sandboxes, SandboxSpec
from proa.wasm.testing import compile_c

HELLO = r"""
#include <stdio.h>
int main(int argc, char **argv) {
    printf("hello %s\n", argv[1]);
    fprintf(stderr, "warning\n");
    return 7;
}
"""


async def test_a_guest_prints_and_exits(sandboxes: Sandboxes) -> None:
    module = await sandboxes.compile(compile_c(HELLO))
    sandbox = await sandboxes.start(SandboxSpec(id="a", module=module, args=("hello", "world")))
    end = await sandbox.wait()
    assert (end.exit_code, end.reason, end.message) == (7, ExitReason.EXITED, "")
    assert os.read(sandbox.stdout, 100) == b"hello world\n"
    assert os.read(sandbox.stderr, 100) == b"warning\n"
    assert end.started_at <= end.finished_at
    assert end.cpu_seconds > 0
    assert end.max_rss_bytes > 0
