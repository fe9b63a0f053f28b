"""exec, attach and port-forward against a loopback server that speaks both protocols."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st

from proa.kube import Api, Client, ForbiddenError, InvalidRequestError, TransportError, encode
from proa.kube.core import channels
from proa.kube.core.channels import Channel, Exit
from proa.kube.models.core_v1 import Pod
from proa.kube.models.meta_v1 import Status, StatusCause, StatusDetails

SUCCESS = encode(Status(status="Success"))
Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


def failed(code: int) -> bytes:
    cause = StatusCause(reason="ExitCode", message=str(code))
    return encode(
        Status(
            status="Failure",
            reason="NonZeroExitCode",
            message=f"command terminated with exit code {code}",
            details=StatusDetails(causes=[cause]),
        )
    )


def speaks(server: Any, protocol: str, talk: Talk) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(protocol,))
        await socket.prepare(request)
        await talk(socket)
        await socket.close()
        return socket

    server.handler = handler


async def cat(socket: web.WebSocketResponse) -> None:
    """Echo standard input to standard output until it is closed, and sizes to standard error."""
    await socket.send_bytes(bytes((Channel.STDOUT,)))
    await socket.send_bytes(bytes((Channel.STDERR,)))
    async for message in socket:
        assert message.type is WSMsgType.BINARY
        channel, data = message.data[0], message.data[1:]
        if channel == Channel.STDIN:
            await socket.send_bytes(bytes((Channel.STDOUT,)) + data)
        elif channel == Channel.RESIZE:
            await socket.send_bytes(bytes((Channel.STDERR,)) + data)
        elif channel == Channel.CLOSE:
            assert data == bytes((Channel.STDIN,))
            break
    await socket.send_bytes(bytes((Channel.ERROR,)) + SUCCESS)


async def three(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\x01out")
    await socket.send_bytes(b"\x02err")
    await socket.send_bytes(b"\x03" + failed(3))


@pytest.mark.parametrize("protocol", channels.PROTOCOLS)
async def test_output_and_exit_status(server: Any, client: Client, protocol: str) -> None:
    speaks(server, protocol, three)
    pods = Api(client, Pod, namespace="web")
    async with pods.exec("a", ["ls", "-l"], container="c") as process:
        assert process.can_close_stdin is (protocol == channels.V5)
        stdout, stderr, exit_ = await process.communicate()
    assert (stdout, stderr) == (b"out", b"err")
    assert exit_ == Exit(3, "command terminated with exit code 3")
    assert not exit_
    request = server.requests[-1]
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/web/pods/a/exec")
    assert list(request.query.items()) == [
        ("container", "c"),
        ("stdout", "true"),
        ("stderr", "true"),
        ("command", "ls"),
        ("command", "-l"),
    ]
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert request.headers["Sec-WebSocket-Protocol"].replace(" ", "") == ",".join(channels.PROTOCOLS)


async def test_standard_input_its_end_and_the_size_of_the_terminal(server: Any, client: Client) -> None:
    speaks(server, channels.V5, cat)
    big = bytes(range(256)) * 1000
    async with Api(client, Pod, namespace="web").exec("a", ["cat"], stdin=True) as process:
        await process.resize(80, 24)
        stdout, stderr, exit_ = await process.communicate(big)
    assert stdout == big
    assert json.loads(stderr) == {"Width": 80, "Height": 24}
    assert exit_ == Exit(0)


async def test_an_old_server_cannot_be_told_of_the_end_of_input(server: Any, client: Client) -> None:
    speaks(server, channels.V4, cat)
    async with Api(client, Pod, namespace="web").exec("a", ["cat"], stdin=True) as process:
        with pytest.raises(InvalidRequestError, match="too old"):
            await process.close_stdin()
        await process.write(b"hello")
        assert await anext(process.stdout()) == b"hello"


async def test_attaching_to_a_terminal(server: Any, client: Client) -> None:
    speaks(server, channels.V5, three)
    async with Api(client, Pod, namespace="web").attach("a", stdin=True, tty=True) as process:
        assert await process.wait() == Exit(3, "command terminated with exit code 3")
    assert server.requests[-1].path == "/api/v1/namespaces/web/pods/a/attach"
    assert dict(server.requests[-1].query) == {"stdin": "true", "stdout": "true", "tty": "true"}


async def test_a_refusal_is_the_servers_own_status(server: Any, client: Client) -> None:
    server.answer(
        encode(Status(status="Failure", code=403, reason="Forbidden", message="no exec")), status=403
    )
    with pytest.raises(ForbiddenError, match="no exec"):
        async with Api(client, Pod, namespace="web").exec("a", ["ls"]):
            pass
    server.answer(b"{}")
    with pytest.raises(TransportError, match="opened no WebSocket"):
        async with Api(client, Pod, namespace="web").exec("a", ["ls"]):
            pass


async def test_a_connection_that_breaks_is_an_error_for_all_who_wait(server: Any, client: Client) -> None:
    async def cut(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01half")

    speaks(server, channels.V5, cut)
    async with Api(client, Pod, namespace="web").exec("a", ["ls"]) as process:
        output = process.stdout()
        assert await anext(output) == b"half"
        with pytest.raises(TransportError, match="ended before the process"):
            await anext(output)
        with pytest.raises(TransportError):
            await process.wait()


async def test_leaving_early_closes_the_connection_and_leaves_no_task(server: Any, client: Client) -> None:
    ended = asyncio.Event()

    async def forever(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            pass
        ended.set()

    speaks(server, channels.V5, forever)
    before = asyncio.all_tasks()
    async with Api(client, Pod, namespace="web").exec("a", ["sleep"], stdin=True):
        pass
    await asyncio.wait_for(ended.wait(), 5)
    left = {task for task in asyncio.all_tasks() - before if "_read" in repr(task)}
    assert left == set()


async def test_what_nobody_reads_does_not_fill_the_memory(
    server: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proa.kube.streams.BUFFER", 10)
    sent = [bytes((1,)) + bytes(8) for _ in range(50)]

    async def pour(socket: web.WebSocketResponse) -> None:
        for message in sent:
            await socket.send_bytes(message)
        await socket.send_bytes(b"\x03" + SUCCESS)

    speaks(server, channels.V5, pour)
    async with Api(client, Pod, namespace="web").exec("a", ["yes"]) as process:
        await anext(process.stdout())
        largest = max([len(chunk) async for chunk in process.stdout()])
    assert largest <= 18


async def test_a_port_of_a_pod(server: Any, client: Client) -> None:
    async def shout(socket: web.WebSocketResponse) -> None:
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + (8080).to_bytes(2, "little"))
        message = await socket.receive_bytes()
        await socket.send_bytes(message[:1] + message[1:].upper())

    speaks(server, channels.V4, shout)
    async with Api(client, Pod, namespace="web").port_forward("a", 8080) as connection:
        await connection.write(b"hello")
        assert await connection.read() == b"HELLO"
        assert await connection.read() == b""
    assert dict(server.requests[-1].query) == {"ports": "8080"}


async def test_a_port_on_which_nobody_listens(server: Any, client: Client) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        for channel in (0, 1):
            await socket.send_bytes(bytes((channel,)) + (8080).to_bytes(2, "little"))
        await socket.send_bytes(b"\x01connection refused")

    speaks(server, channels.V4, refuse)
    async with Api(client, Pod, namespace="web").port_forward("a", 8080) as connection:
        with pytest.raises(TransportError, match="port 8080 of the pod: connection refused"):
            await connection.read()


async def test_what_no_server_would_accept_is_not_sent(server: Any, client: Client) -> None:
    pods = Api(client, Pod, namespace="web")
    for opened in (
        pods.exec("a", "ls"),
        pods.exec("a", []),
        pods.exec("a", ["ls"], stdout=False, stderr=False),
        pods.exec("a", ["ls"], tty=True, stdout=False),
        pods.attach("a", stdout=False, stderr=False),
    ):
        with pytest.raises(InvalidRequestError):
            async with opened:
                pass
    with pytest.raises(InvalidRequestError):
        async with pods.port_forward("a", 0):
            pass
    assert server.requests == []


@given(st.binary(max_size=100_000))
def test_data_of_any_length_survives_framing(data: bytes) -> None:
    messages = channels.frames(0, data)
    assert b"".join(channels.unframe(message)[1] for message in messages) == data
    assert all(len(message) <= channels.LARGEST_DATA + 1 for message in messages)


def test_ends_that_are_no_exit_codes() -> None:
    with pytest.raises(TransportError, match="how the process ended"):
        channels.read_exit(b"nonsense")
    broken = channels.read_exit(encode(Status(status="Failure", message="no such container")))
    assert (broken.code, broken.message) == (-1, "no such container")
    with pytest.raises(TransportError):
        channels.unframe(b"")
