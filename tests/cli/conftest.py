"""Guests, and a cluster that all tests of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proa.cli.testing import Up, up
from proa.wasm.testing import compile_c

HELLO = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
    const char *word = getenv("WORD");
    if (word) printf("word %s\n", word);
    const char *code = getenv("CODE");
    return code ? atoi(code) : 0;
}
"""
SLEEPER = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { puts("awake"); fflush(stdout); for (;;) sleep(1000); }
"""


@pytest.fixture(scope="session")
def hello() -> Path:
    return compile_c(HELLO)


@pytest.fixture(scope="session")
def sleeper() -> Path:
    return compile_c(SLEEPER)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up") / "state") as running:
        yield running
        assert running.stop() == 0, running.log.read_text()
