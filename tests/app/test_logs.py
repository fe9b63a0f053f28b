import asyncio
import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from proa.app import Secret, logs
from proa.app._log_writer import Writer
from proa.app.testing import capture_logs

log = logs.get_logger("test")
Configure = Callable[..., Callable[[], str]]


@pytest.fixture
def configured(tmp_path: Path, restored_logs: None) -> Iterator[Configure]:
    """Configure logs into a file; what it returns gives back what was written."""
    with (tmp_path / "log").open("w") as stream:

        def configure(level: logs.Level = "debug", style: logs.Format = "json") -> Callable[[], str]:
            logs.configure(level, style, stream)

            def written() -> str:
                assert logs.flush(5)
                return (tmp_path / "log").read_text()

            return written

        yield configure


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_json_line_has_time_level_logger_event_and_fields(configured: Configure) -> None:
    written = configured()
    log.bind(node="n1").info("pod started", pod="default/web", size=3)
    (event,) = parsed(written())
    time = datetime.fromisoformat(event.pop("time"))
    assert time.tzinfo == UTC
    assert datetime.now(UTC) - time < timedelta(minutes=1)
    expected = {"level": "info", "logger": "test", "event": "pod started", "node": "n1"}
    assert event == expected | {"pod": "default/web", "size": 3}


def test_events_below_the_level_are_not_written(configured: Configure) -> None:
    written = configured("warning")
    log.info("no")
    logging.getLogger("library").info("no")
    structlog.get_logger().info("no")
    log.warning("yes")
    assert [event["event"] for event in parsed(written())] == ["yes"]


def test_logging_and_structlog_go_the_same_way(configured: Configure) -> None:
    written = configured()
    logging.getLogger("aiohttp.server").error("failed %s", "here")
    logging.getLogger("library").log(25, "between two levels")
    structlog.get_logger().info("direct", a=1)
    events = [(event["level"], event["logger"], event["event"]) for event in parsed(written())]
    assert events == [
        ("error", "aiohttp.server", "failed here"),
        ("info", "library", "between two levels"),
        ("info", "root", "direct"),
    ]


def test_context_variables_of_structlog_are_fields(configured: Configure) -> None:
    written = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("handled")
    assert parsed(written())[0]["request_id"] == "r1"


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_masked_by_type_and_by_name(configured: Configure, style: str) -> None:
    written = configured(style=style)
    log.info("a", value=Secret("hunter2"), nested={"list": [Secret("hunter2")]})
    log.info("b", token="hunter2", password="hunter2", authorization="Bearer hunter2")
    log.info(f"c {Secret('hunter2')}")
    logging.getLogger("library").info("with %s", Secret("hunter2"))
    text = written()
    assert "hunter2" not in text
    assert text.count("********") == 7


def test_a_traceback_is_part_of_its_event(configured: Configure) -> None:
    written = configured()
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed", pod="web")
    (event,) = parsed(written())
    assert event["level"] == "error"
    assert event["exception"].endswith("ValueError: broken")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "value",
    [Unprintable(), {("tuple",): 1}, "\udcff", 1 << 80, float("nan"), b"\xff", object, [Unprintable()]],
)
def test_no_value_makes_a_log_call_fail_or_disappear(
    configured: Configure, style: str, value: object
) -> None:
    written = configured(style=style)
    log.info("strange", value=value)
    assert "strange" in written()


@pytest.mark.parametrize(
    "name", ["event", "level", "logger", "time", "steps", "self", "name", "method", "args"]
)
def test_no_field_name_collides(configured: Configure, name: str) -> None:
    written = configured()
    log.info("hello", **{name: "mine"})
    (event,) = parsed(written())
    assert event["event"] == "hello"
    assert event["level"] == "info"
    assert "mine" in {event.get(name), event.get(f"{name}_")}


def test_text_from_outside_cannot_forge_lines_or_send_escape_sequences(configured: Configure) -> None:
    written = configured(style="console")
    log.info("evil\nevent", image="a\x1b[31m\nforged line")
    text = written()
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_steps_nest_and_tell_their_duration(configured: Configure) -> None:
    written = configured()
    with log.step("start node", node="n1") as fields:
        with log.step("pull"):
            log.info("layer")
        fields["pods"] = 2
    events = parsed(written())
    assert [(event["level"], event["event"], event.get("steps", [])) for event in events] == [
        ("debug", "start node: started", []),
        ("debug", "pull: started", ["start node"]),
        ("info", "layer", ["start node", "pull"]),
        ("info", "pull", ["start node"]),
        ("info", "start node", []),
    ]
    assert events[-1]["pods"] == 2
    assert 0 <= events[-2]["duration"] <= events[-1]["duration"] < 5


def test_steps_are_indented_on_a_terminal(configured: Configure) -> None:
    written = configured("info", "console")
    with log.step("outer"), log.step("inner"):
        log.info("leaf", path="a b")
    lines = [line[13:].rstrip() for line in written().splitlines()]
    assert lines[0] == "info    │ │ leaf path='a b'"
    assert lines[1].startswith("info    │ inner ")
    assert lines[1].endswith(" ms")
    assert lines[2].startswith("info    outer ")


def test_a_failed_step_says_so_and_raises() -> None:
    with capture_logs() as events, pytest.raises(KeyError), log.step("pull", image="x"):
        raise KeyError("gone")
    assert [event["event"] for event in events] == ["pull: started", "pull: failed"]
    assert (events[1]["level"], events[1]["error"], events[1]["image"]) == ("warning", "'gone'", "x")


async def test_a_cancelled_step_is_no_failure() -> None:
    async def wait() -> None:
        with log.step("wait"):
            await asyncio.Event().wait()

    with capture_logs() as events:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert [(event["level"], event["event"]) for event in events] == [
        ("debug", "wait: started"),
        ("debug", "wait: cancelled"),
    ]


async def test_steps_of_concurrent_tasks_do_not_mix(configured: Configure) -> None:
    written = configured()

    async def work(name: str) -> None:
        with log.step(name):
            await asyncio.sleep(0)
            log.info("inside", task=name)

    with log.step("all"):
        await asyncio.gather(work("a"), work("b"))
    inside = [event for event in parsed(await asyncio.to_thread(written)) if event["event"] == "inside"]
    assert [(event["task"], event["steps"]) for event in inside] == [("a", ["all", "a"]), ("b", ["all", "b"])]


async def test_a_task_that_outlives_a_step_is_no_longer_inside(configured: Configure) -> None:
    written = configured()
    over = asyncio.Event()

    async def serve() -> None:
        log.info("during")
        await over.wait()
        log.info("after")

    with log.step("start"):
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
    over.set()
    await task
    events = parsed(await asyncio.to_thread(written))
    assert [e.get("steps") for e in events if e["event"] in {"during", "after"}] == [["start"], None]


def test_unconfigured_logs_go_to_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        log.info("pulled", image="x y", token="hunter2", odd=Unprintable())
        log.debug("hidden")
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("failed")
    messages = [record.getMessage() for record in caplog.records]
    odd = """odd="<Unprintable: RuntimeError('no')>\""""
    assert messages == [f"pulled image='x y' token=******** {odd}", "failed"]
    assert caplog.records[1].exc_info is not None


def test_a_full_pipe_never_blocks_and_losses_are_counted() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "w") as stream:
        writer = Writer(stream, lambda count: f"dropped {count}\n", capacity=5)
        line = "x" * 100_000 + "\n"  # more than a pipe holds: the first write waits for the reader
        for _ in range(20):
            writer.write(line)
        assert not writer.flush(timeout=0.01)
        lines = [reader.readline()]
        lines += [reader.readline() for _ in range(5)]
        while not lines[-1].startswith(b"dropped"):
            lines.append(reader.readline())
        full = lines.count(line.encode())
        assert lines[-1] == f"dropped {20 - full}\n".encode()
        writer.close()


def test_a_non_blocking_stream_gets_every_byte() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "w") as stream:
        writer = Writer(stream, str)
        writer.write("x" * 300_000 + "\n")
        assert reader.readline() == b"x" * 300_000 + b"\n"
        writer.close()


def test_a_broken_or_closed_stream_is_survived() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        for stream in (broken, closed := io.StringIO()):
            closed.close()
            writer = Writer(stream, str)
            writer.write("lost\n")
            assert writer.flush(5)
            writer.close()


def test_a_stream_without_descriptor_is_written_to() -> None:
    stream = io.StringIO()
    writer = Writer(stream, str)
    writer.write("zażółć\n")
    writer.close()
    assert stream.getvalue() == "zażółć\n"


def test_configuring_again_leaves_one_writer_and_one_copy(configured: Configure) -> None:
    configured()
    written = configured()
    log.info("once")
    logging.getLogger("library").info("once")
    assert len(parsed(written())) == 2
    assert [thread.name for thread in threading.enumerate()].count("log-writer") == 1


def run_program(code: str, **environ: str) -> str:
    """Run a program that logs and return its stderr."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environ, check=False
    )
    return result.stderr


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise RuntimeError"])
def test_everything_is_written_when_the_program_ends(end: str) -> None:
    code = "from proa.app import logs; logs.configure(); log = logs.get_logger('x')\n"
    code += f"for i in range(500): log.info('line', i=i)\n{end}"
    assert run_program(code).count('"event":"line"') == 500


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_no_color(environ: dict[str, str], coloured: bool) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb", buffering=0) as reader, os.fdopen(terminal, "wb") as stderr:
        code = "from proa.app import logs; logs.configure(); logs.get_logger('x').info('hello')"
        plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        subprocess.run([sys.executable, "-c", code], stderr=stderr, env=plain | environ, check=True)
        text = reader.read(4096).decode()
    assert "hello" in text
    assert not text.startswith("{")
    assert ("\x1b[" in text) == coloured
