import argparse
import contextlib
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.app import Secret, settings
from proa.app._convert import format_duration, parse_duration
from proa.app.settings import SettingsError, setting


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Everything:
    """All kinds of settings."""

    name: str = setting("node", help="name of the node")
    port: int = setting(5050, help="port; 0 picks a free one")
    ratio: float = setting(0.5, help="100% is 1")
    verbose: bool = setting(False, help="say more")
    data_dir: Path = setting(Path(".proa"), help="where state is kept")
    colour: Colour = setting(Colour.RED, help="colour")
    mode: Literal["fast", "safe"] = setting("safe", help="mode")
    token: Secret | None = setting(None, help="bearer token")
    sync_period: timedelta = setting(timedelta(seconds=10), help="how often")
    registries: tuple[str, ...] = setting((), help="insecure registries")
    labels: dict[str, str] = setting({"a": "b"}, help="labels of the node")
    limit: int | None = setting(None, help="limit")


def load(*arguments: str, file: Path | None = None, **environ: str) -> Everything:
    return settings.load(Everything, arguments=arguments, environ=environ, program="test", file=file)


def problems_of(cls: type[Any], *arguments: str, file: Path | None = None, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings.load(cls, arguments=arguments, environ=environ, file=file)
    assert caught.value.exit_code == 2
    return caught.value.problems


def yaml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_nothing_given_means_the_defaults() -> None:
    assert load() == Everything()


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = yaml(tmp_path, "port: 3\nname: file\nratio: 0.25\n")
    loaded = load("--port", "1", file=file, PROA_PORT="2", PROA_NAME="environment")
    assert (loaded.port, loaded.name, loaded.ratio, loaded.mode) == (1, "environment", 0.25, "safe")


def test_every_type_is_read_from_flags() -> None:
    loaded = load(
        *("--name=n", "--port=1", "--ratio=2", "--verbose", "--data-dir=/d", "--colour=blue", "--mode=fast"),
        *(
            "--token=t",
            "--sync-period=1m30s",
            "--registries=a,b",
            "--registries=c",
            "--labels=x=y=z",
            "--limit=9",
        ),
    )
    assert loaded == Everything(
        name="n",
        port=1,
        ratio=2.0,
        verbose=True,
        data_dir=Path("/d"),
        colour=Colour.BLUE,
        mode="fast",
        token=Secret("t"),
        sync_period=timedelta(seconds=90),
        registries=("a,b", "c"),
        labels={"x": "y=z"},
        limit=9,
    )


def test_a_list_of_choices_may_come_in_one_flag_or_in_several() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Parts:
        without: tuple[Literal["one", "two"], ...] = setting((), help="parts")

    for words in (["--without", "one,two"], ["--without", "one", "--without", "two"]):
        assert settings.load(Parts, arguments=words, environ={}).without == ("one", "two")
    assert "one, two" in problems_of(Parts, "--without", "one,three")[0]


def test_every_type_is_read_from_the_environment() -> None:
    loaded = load(
        PROA_VERBOSE="Yes",
        PROA_DATA_DIR="~/x",
        PROA_COLOUR="blue",
        PROA_TOKEN="t",
        PROA_SYNC_PERIOD="500ms",
        PROA_REGISTRIES="a, b,",
        PROA_LABELS="x=1,y=2",
        PROA_LIMIT="",
    )
    assert loaded.verbose is True
    assert loaded.data_dir == Path.home() / "x"
    assert loaded.colour is Colour.BLUE
    assert loaded.token == Secret("t")
    assert loaded.sync_period == timedelta(milliseconds=500)
    assert loaded.registries == ("a", "b")
    assert loaded.labels == {"x": "1", "y": "2"}
    assert loaded.limit is None


def test_every_type_is_read_from_a_file_by_either_spelling(tmp_path: Path) -> None:
    text = "dataDir: /d\nverbose: true\nsync_period: 1h\nregistries: [a, b]\nlabels: {x: y}\n"
    loaded = load(file=yaml(tmp_path, text + "limit: 3\ntoken: s\nratio: 1\n"))
    assert (loaded.data_dir, loaded.verbose, loaded.sync_period) == (Path("/d"), True, timedelta(hours=1))
    assert (loaded.registries, loaded.labels, loaded.limit) == (("a", "b"), {"x": "y"}, 3)
    assert (loaded.token, loaded.ratio) == (Secret("s"), 1.0)


def test_a_flag_can_turn_off_what_the_environment_turned_on() -> None:
    assert load("--no-verbose", PROA_VERBOSE="1").verbose is False


def test_empty_and_null_file_values_leave_the_default(tmp_path: Path) -> None:
    assert load(file=yaml(tmp_path, "")) == Everything()
    assert load(file=yaml(tmp_path, "port:\n")) == Everything()


def test_all_problems_are_reported_at_once_by_the_name_the_user_knows(tmp_path: Path) -> None:
    file = yaml(tmp_path, "ratio: many\ndatDir: x\nsyncPeriod: 10\nlabels: {a: 1}\n")
    problems = problems_of(
        Everything, "--port", "http", "--labels", "x", file=file, PROA_COLOUR="green", PROA_VERBOSE="maybe"
    )
    assert problems == (
        f"datDir in {file}: no such setting; did you mean dataDir?",
        "--port: 'http' is wrong: expected a whole number",
        f"ratio in {file}: 'many' is wrong: expected a number",
        "PROA_VERBOSE: 'maybe' is wrong: expected true or false",
        "PROA_COLOUR: 'green' is wrong: expected one of red, blue",
        f"syncPeriod in {file}: 10 is wrong: expected a duration with units, such as 10s, 1m30s or 500ms",
        "--labels: ['x'] is wrong: expected key=value",
    )


def test_the_message_of_one_problem_is_one_line_and_of_several_a_list() -> None:
    assert str(SettingsError(["a: wrong"])) == "a: wrong"
    assert str(SettingsError(["a: wrong", "b: wrong"])) == "2 settings are wrong:\n  a: wrong\n  b: wrong"


def test_a_wrong_value_that_a_stronger_source_overrides_is_no_problem() -> None:
    assert load("--port=1", PROA_PORT="x").port == 1


def test_a_required_setting_says_how_to_set_it_and_what_it_is() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strict:
        url: str = setting(help="where the API server is")
        key: Secret = setting(help="signing key", env="SIGNING_KEY")

    assert problems_of(Strict) == (
        "--url or PROA_URL must be set: where the API server is",
        "--key or SIGNING_KEY must be set: signing key",
    )
    loaded = settings.load(Strict, arguments=["--url=u"], environ={"SIGNING_KEY": "k"})
    assert loaded.key.reveal() == "k"


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    file = yaml(tmp_path, "token: 123456\n")
    (problem,) = problems_of(Everything, file=file)
    assert "123456" not in problem
    assert "********" in problem


def test_a_dataclass_can_check_its_values_together() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Range:
        low: int = setting(1, help="low")
        high: int = setting(2, help="high")

        def validate(self) -> Iterable[str]:
            if self.low > self.high:
                yield f"--low {self.low}: must not be above --high {self.high}"
            if self.low < 0:
                yield "--low: must not be negative"

    assert settings.load(Range, arguments=[], environ={}) == Range(low=1, high=2)
    assert problems_of(Range, "--low=3") == ("--low 3: must not be above --high 2",)
    # What cannot be read is told beside what makes no sense, and nothing is said of its default.
    unread, negative = problems_of(Range, "--low=-3", "--high=x")
    assert "'x' is wrong: expected a whole number" in unread
    assert negative == "--low: must not be negative"
    assert problems_of(Range, "--low=-3", "--high=-4") == (
        "--low -3: must not be above --high -4",
        "--low: must not be negative",
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"- a\n- b\n", "expected a mapping of settings, not list"),
        (b"a: [\n", "is not YAML in line 2"),
        (b"\xff\xfe\xfa", "is not UTF-8 text"),
        (b"port: 1\nport: x\nPort: 2\n", "no such setting; did you mean port?"),
        (b"data_dir: a\ndataDir: b\n", "already set as data_dir"),
        (b"port: true\n", "True is wrong: expected a whole number"),
        (b"name: 1.10\n", "expected text (in a file: put it in quotes)"),
    ],
)
def test_a_broken_file_is_a_problem_that_names_it(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    problems = problems_of(Everything, file=file)
    assert any(complaint in problem and str(file) in problem for problem in problems), problems


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert problems_of(Everything, file=missing) == (f"{missing}: cannot be read: No such file or directory",)


def test_an_unknown_flag_ends_with_usage_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--prot", "1")
    assert caught.value.code == 2
    assert "unrecognized arguments: --prot" in capsys.readouterr().err


def test_help_shows_each_flag_with_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "All kinds of settings." in text
    assert "--data-dir PATH where state is kept [$PROA_DATA_DIR; default .proa]" in text
    assert "--ratio NUMBER 100% is 1 [$PROA_RATIO; default 0.5]" in text
    assert "--verbose, --no-verbose say more [$PROA_VERBOSE; default false]" in text
    assert "--token SECRET bearer token [$PROA_TOKEN]" in text


def test_sub_commands_use_the_two_halves() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other:
        size: int = setting(1, help="size")

    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command")
    settings.add_arguments(commands.add_parser("one"), Everything)
    settings.add_arguments(commands.add_parser("two"), Other, prefix="OTHER_")
    namespace = parser.parse_args(["two"])
    assert settings.resolve(Other, namespace, environ={"OTHER_SIZE": "3"}, prefix="OTHER_") == Other(size=3)


def test_describe_lists_every_setting_in_order() -> None:
    described = settings.describe(Everything)
    assert [info.name for info in described][:3] == ["name", "port", "ratio"]
    sync = next(info for info in described if info.name == "sync_period")
    assert (sync.flag, sync.variable, sync.default) == ("--sync-period", "PROA_SYNC_PERIOD", "10s")


def test_a_default_secret_is_masked_in_descriptions() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Defaulted:
        token: Secret = setting(Secret("hunter2"), help="token")

    assert settings.describe(Defaulted)[0].default == "********"


def test_mutable_defaults_are_not_shared() -> None:
    Everything().labels["x"] = "y"
    assert Everything().labels == {"a": "b"}


@pytest.mark.parametrize("kind", [complex, int | str, tuple[int, str], dict[int, str]])
def test_an_unsupported_type_is_the_programmers_error(kind: Any) -> None:
    wrong: type[Any] = dataclass(
        type("Wrong", (), {"__annotations__": {"x": kind}, "x": setting(None, help="x")})
    )
    with pytest.raises(TypeError, match="settings cannot be of type"):
        settings.describe(wrong)


def test_a_field_without_setting_is_the_programmers_error() -> None:
    @dataclass
    class Wrong:
        x: int = 1

    with pytest.raises(TypeError, match=r"Wrong\.x must be declared with setting\(\)"):
        settings.describe(Wrong)


@pytest.mark.parametrize("text", ["", "10", "s", "1d", "1 s", "-1s", "1s1", "9" * 400 + "h", "१s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration with units"):
        parse_duration(text)


@given(st.timedeltas(timedelta(), timedelta(days=10_000)))
def test_durations_survive_being_written_and_read(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(max_size=20))
def test_no_text_makes_a_conversion_fail_in_another_way(text: str) -> None:
    values = {f"PROA_{name.upper()}": text for name in Everything.__dataclass_fields__}
    with contextlib.suppress(SettingsError):
        settings.load(Everything, arguments=[], environ=values)
