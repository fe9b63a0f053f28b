"""modules.toml means what it meant to WAGI, and every mistake in it is told with its line."""

from pathlib import Path

import pytest

from proa.wagi.config import Config, Module, load_config, parse_config, parse_size
from proa.wagi.errors import ConfigError
from proa.wagi.handlers import Limits

PATH = Path("modules.toml")


def _parse(text: str) -> Config:
    return parse_config(text, PATH)


def _problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _parse(text)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_a_file_of_wagi_means_the_same() -> None:
    config = _parse("""
default_host = "localhost"
[[module]]
route = "/"
module = "examples/hello.wasm"

[[module]]
route = "/files/..."
module = "oci:example.com/files:1"
repository = "ignored"
entrypoint = "serve"
volumes = {"/data" = "./files"}
allowed_hosts = ["https://example.com", "insecure:allow-all"]
http_max_concurrency = 2
argv = "${SCRIPT_NAME} ${ARGS}"

[[module]]
route = "/b"
module = "bindle:example.com/b/1.0.0"
bindle_server = "http://localhost:8080/v1"
""")
    assert config.remarks == ()
    assert config.modules == (
        Module(route="/", module="examples/hello.wasm", line=3),
        Module(
            route="/files/...",
            module="oci:example.com/files:1",
            line=7,
            entrypoint="serve",
            volumes={"/data": "./files"},
            allowed_hosts=("https://example.com", "insecure:allow-all"),
            http_max_concurrency=2,
            argv="${SCRIPT_NAME} ${ARGS}",
        ),
        Module(
            route="/b",
            module="bindle:example.com/b/1.0.0",
            line=17,
            bindle_server="http://localhost:8080/v1",
        ),
    )


def test_limits_and_environment_are_the_routes_own_or_everybodys() -> None:
    text = """
[[module]]
route = "/a"
module = "a.wasm"
timeout = "1m30s"
memory = "64MiB"
concurrency = 4
max_body = 0
digest = "sha256:%s"
[module.environment]
GREETING = "hi"
[[module]]
route = "/b"
module = "b.wasm"
timeout = 2.5
"""
    digits = "0" * 64
    everybodys = Limits(seconds=5, memory=1 << 20, concurrency=1, body=10)
    first, second = parse_config(text % digits, PATH, everybodys).modules
    assert first.limits == Limits(seconds=90, memory=64 << 20, concurrency=4, body=0)
    assert first.environment == {"GREETING": "hi"}
    assert first.digest == f"sha256:{digits}"
    assert second.limits == Limits(seconds=2.5, memory=1 << 20, concurrency=1, body=10)


def test_every_mistake_is_told_with_its_line() -> None:
    problems = _problems("""
[[module]]
route = "no-slash"
module = "ftp://example.com/x"
timeout = "soon"

[[module]]
module = "b.wasm"
memory = "1B"
concurrency = 0
allowed_hosts = ["example.com"]
[module.volumes]
"relative" = "x"

[[module]]
route = "/c"
module = "bindle:c/1.0.0"
digest = "md5:1"
environment = {A = 1}
""")
    assert [problem.split(": ")[1:3] for problem in problems] == [
        ["line 3", "route"],
        ["line 4", "module"],
        ["line 5", "timeout"],
        ["line 7", "route"],
        ["line 12", "volumes"],
        ["line 11", "allowed_hosts"],
        ["line 9", "memory"],
        ["line 10", "concurrency"],
        ["line 18", "digest"],
        ["line 19", "environment"],
    ]
    assert all(problem.startswith("modules.toml: line ") and "\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "nothing would be served"),
        ("[[module]\n", "line 1"),
        ("\nx = [", "line 2"),
        ("[module]\nroute = '/'", "line 1: write [[module]]"),
        ("module = 3", "line 1: write [[module]]"),
    ],
)
def test_what_is_no_such_file_says_so(text: str, problem: str) -> None:
    [told] = _problems(text)
    assert problem in told


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xfc")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml")


def test_unknown_keys_are_remarked_upon_and_no_mistake() -> None:
    config = _parse("[[module]]\nroute = '/'\nmodule = 'a.wasm'\nentry_point = 'x'")
    assert config.remarks == (
        "modules.toml: line 4: entry_point means nothing here; did you mean entrypoint?",
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("10B", 10), ("1K", 1000), ("1KiB", 1024), ("64MiB", 64 << 20), ("2 GB", 2 * 10**9)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5G", "1TiB", "1 0"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="64MiB"):
        parse_size(text)
