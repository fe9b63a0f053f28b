"""What `proa wagi new` writes: the same small handler in five languages, each built by one command. Pure."""

from dataclasses import dataclass
from typing import Final

__all__ = ["TEMPLATES", "Template"]


@dataclass(frozen=True)
class Template:
    """A new handler.

    Attributes:
        files: Names and contents.
        build: The command that builds it, run in its directory.
        module: The file that the command makes.
        needs: What has to be installed.
    """

    files: dict[str, str]
    build: str
    module: str
    needs: str


_C: Final = r"""#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const char *path = getenv("PATH_INFO");
    printf("Content-Type: text/plain\n\n");
    printf("Hello from C, %s\n", path && *path ? path : "world");
    return 0;
}
"""
_RUST: Final = r"""use std::env;

fn main() {
    let path = env::var("PATH_INFO").unwrap_or_default();
    let name = if path.is_empty() { "world" } else { &path };
    print!("Content-Type: text/plain\n\nHello from Rust, {name}\n");
}
"""
_GO: Final = """package main

import (
	"fmt"
	"os"
)

func main() {
	name := os.Getenv("PATH_INFO")
	if name == "" {
		name = "world"
	}
	fmt.Printf("Content-Type: text/plain\\n\\nHello from Go, %s\\n", name)
}
"""
_ZIG: Final = r"""extern "c" fn printf(format: [*:0]const u8, ...) c_int;
extern "c" fn getenv(name: [*:0]const u8) ?[*:0]const u8;

pub fn main() void {
    const path = getenv("PATH_INFO");
    const name: [*:0]const u8 = if (path != null and path.?[0] != 0) path.? else "world";
    _ = printf("Content-Type: text/plain\n\nHello from Zig, %s\n", name);
}
"""
_PYTHON: Final = """import os

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        name = os.environ.get("PATH_INFO") or "world"
        print(f"Content-Type: text/plain\\n\\nHello from Python, {name}")
"""

_WORLD: Final = "package local:handler;\n\nworld handler {\n  export wasi:cli/run@0.2.0;\n}\n"
_RUN: Final = "package wasi:cli@0.2.0;\n\ninterface run {\n  run: func() -> result;\n}\n"

TEMPLATES: Final = {
    "c": Template(
        files={"handler.c": _C},
        build="python -m ziglang cc -target wasm32-wasi -Os -s -o handler.wasm handler.c",
        module="handler.wasm",
        needs="Zig's C compiler: pip install ziglang",
    ),
    "rust": Template(
        files={
            "src/main.rs": _RUST,
            "Cargo.toml": '[package]\nname = "handler"\nversion = "0.1.0"\nedition = "2021"\n',
        },
        build="cargo build --release --target wasm32-wasip1",
        module="target/wasm32-wasip1/release/handler.wasm",
        needs="Rust with its target: rustup target add wasm32-wasip1",
    ),
    "go": Template(
        files={"main.go": _GO, "go.mod": "module handler\n\ngo 1.21\n"},
        build="GOOS=wasip1 GOARCH=wasm go build -o handler.wasm .",
        module="handler.wasm",
        needs="Go 1.21 or later",
    ),
    "zig": Template(
        files={"handler.zig": _ZIG},
        build="python -m ziglang build-exe handler.zig -target wasm32-wasi -O ReleaseSmall -lc",
        module="handler.wasm",
        needs="Zig: pip install ziglang",
    ),
    "python": Template(
        files={"app.py": _PYTHON, "wit/handler.wit": _WORLD, "wit/deps/cli/run.wit": _RUN},
        build="componentize-py -d wit -w handler componentize app -o handler.wasm",
        module="handler.wasm",
        needs="pip install componentize-py",
    ),
}
