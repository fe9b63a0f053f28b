"""Credentials from programs: `client.authentication.k8s.io/v1` and `v1beta1`.

The protocol: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from proa.kube.codec import decode, encode
from proa.kube.errors import ConfigError, DecodeError
from proa.kube.identity import ExecPlugin

TIMEOUT = 60.0
EXCERPT = 300


@dataclass(frozen=True)
class Issued:
    """What a program has printed."""

    token: str | None
    certificate: tuple[bytes, bytes] | None
    expires: datetime | None


class _Status(msgspec.Struct, rename="camel"):
    expiration_timestamp: datetime | None = None
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


def exec_info(plugin: ExecPlugin, *, interactive: bool) -> bytes:
    """Return the value of `KUBERNETES_EXEC_INFO`."""
    spec: dict[str, object] = {"interactive": interactive}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    return encode({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})


def read_credential(plugin: ExecPlugin, printed: bytes) -> Issued:
    """Read what a program has printed; raises ConfigError where that is no credential."""
    try:
        found = decode(printed, _ExecCredential)
    except DecodeError as error:
        raise _fail(plugin, f"did not print an ExecCredential: {error}") from error
    if found.kind != "ExecCredential" or found.api_version != plugin.api_version:
        raise _fail(
            plugin,
            f"printed a {found.kind or 'nameless'} of {found.api_version or 'no apiVersion'}, "
            f"not an ExecCredential of {plugin.api_version}",
        )
    status = found.status or _Status()
    if (status.client_certificate_data is None) != (status.client_key_data is None):
        raise _fail(plugin, "printed a client certificate without its key, or the other way round")
    if not status.token and not status.client_certificate_data:
        raise _fail(plugin, "printed neither a token nor a client certificate")
    certificate = None
    if status.client_certificate_data and status.client_key_data:
        certificate = (status.client_certificate_data.encode(), status.client_key_data.encode())
    return Issued(status.token or None, certificate, status.expiration_timestamp)


async def run(plugin: ExecPlugin) -> Issued:
    """Run the program, for 60 seconds at most.

    Raises:
        ConfigError: it is not there, failed, took too long, or printed something else.
    """
    interactive = _interactive(plugin)
    path = await asyncio.to_thread(_found, plugin)
    process = await asyncio.create_subprocess_exec(
        path,
        *plugin.args,
        env=_environment(plugin, interactive=interactive),
        stdin=None if interactive else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if interactive else asyncio.subprocess.PIPE,
        # In a session of its own it can be ended with all that it has started; but it has no terminal there.
        start_new_session=not interactive,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            printed, complaint = await process.communicate()
    except TimeoutError as error:
        raise _fail(plugin, f"printed nothing for {TIMEOUT:g} s and was ended") from error
    finally:
        await _ended(process, whole_session=not interactive)
    if process.returncode:
        text = " ".join((complaint or b"").decode(errors="replace").split())[-EXCERPT:]
        raise _fail(plugin, f"failed with exit code {process.returncode}" + (f": {text}" if text else ""))
    return read_credential(plugin, printed)


async def _ended(process: asyncio.subprocess.Process, *, whole_session: bool) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        if whole_session:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    await process.wait()


def _interactive(plugin: ExecPlugin) -> bool:
    available = sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not available:
        raise _fail(plugin, "wants to ask for something, but standard input is no terminal")
    return available and plugin.interactive_mode != "Never"


def _environment(plugin: ExecPlugin, *, interactive: bool) -> Mapping[str, str]:
    info = exec_info(plugin, interactive=interactive).decode()
    return {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": info}


def _found(plugin: ExecPlugin) -> str:
    path = shutil.which(plugin.command, path={**os.environ, **plugin.env}.get("PATH"))
    if path is None:
        hint = " ".join(plugin.install_hint.split())
        raise ConfigError(
            f"{plugin.where}: command: there is no program {plugin.command!r}" + (f": {hint}" if hint else "")
        )
    return path


def _fail(plugin: ExecPlugin, problem: str) -> ConfigError:
    return ConfigError(f"{plugin.where}: the program {plugin.command!r} {problem}")
