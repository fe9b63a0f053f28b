"""`python -m bench [NAME ...]`: run the benchmarks named, or all."""

import sys
from importlib import import_module

BENCHMARKS = (
    "client",
    "apiserver",
    "sandboxes",
    "pods",
    "density",
    "idle",
    "controllers",
    "runtime",
    "bindle",
    "wagi",
)


def main() -> int:
    """Run each benchmark in turn; 2 when a name is unknown."""
    names = sys.argv[1:] or BENCHMARKS
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(
            f"bench: no benchmark named {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}\n"
        )
        return 2
    for name in names:
        import_module(f"bench.{name}").main()
    return 0


sys.exit(main())
