"""The sub-commands, and the way from the words typed to one of them."""

import difflib
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from proa.app import ProaError
from proa.app._authorities import read_authorities_late

# name → (module, summary), in the order that `proa --help` prints.
COMMANDS = {
    "up": ("proa.cli._up", "start a whole small cluster: control plane, node and registry"),
    "run": ("proa.cli._run", "run a WebAssembly file as a pod, stream its log, return its exit code"),
    "push": ("proa.cli._push", "push a WebAssembly file to a registry"),
    "apply": ("proa.cli._apply", "apply manifests of any kinds to a cluster, in order of dependency"),
    "get": ("proa.cli._get", "print objects of a cluster"),
    "delete": ("proa.cli._delete", "delete objects of a cluster"),
    "logs": ("proa.cli._logs", "print what a container has printed"),
    "exec": ("proa.cli._exec", "run a command in a container"),
    "crd": ("proa.cli._crd", "print the definition of a custom resource made of Python types"),
    "dashboard": ("proa.cli._dashboard", "serve the page of a cluster, and print a link that lets you in"),
    "apiserver": ("proa.cli._apiserver", "start the embedded control plane alone"),
    "backup": ("proa.cli._backup", "write the state of a cluster to one file, also while it runs"),
    "restore": ("proa.cli._restore", "put a backup in the place of a stopped cluster's state"),
    "scheduler": ("proa.cli._scheduler", "start the scheduler alone, for any Kubernetes API server"),
    "controller-manager": (
        "proa.cli._controller_manager",
        "start the controllers alone, for any Kubernetes API server",
    ),
    "kubelet": ("proa.cli._kubelet", "start a node that runs WebAssembly pods for any Kubernetes API server"),
    "bindle": ("proa.cli.bindle", "store, fetch, sign and serve bindles: signed aggregates of objects"),
    "registry": ("proa.cli._registry", "start the OCI registry alone"),
    "wagi": ("proa.cli._wagi", "serve WebAssembly modules over HTTP, an instance a request"),
    "statemachine": ("proa.cli._statemachine", "draw a state machine as Mermaid text or SVG"),
    "version": ("proa.cli._version", "print the version"),
}
ALIASES = {"--version": "version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sub-command that `arguments` (default: the process's own) name; returns the exit code.

    A user's mistake is one line on standard error, never a traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_help())
        return 0 if words else 2
    name = ALIASES.get(words[0], words[0])
    if name not in COMMANDS:
        return _fail(
            ProaError(f"there is no command {name!r}{_suggestion(name)}; `proa --help` lists them"), 2
        )
    try:
        code: int = _load(COMMANDS[name][0]).main(words[1:])
    except ProaError as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has what it wanted (`proa run … | head`); the flush at exit must not
        # complain.
        sys.stdout = None
        return 0
    return code


def _load(name: str) -> ModuleType:
    """A sub-command's module, without looking for garbage meanwhile: what is imported stays."""
    read_authorities_late()
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _fail(error: ProaError, code: int) -> int:
    sys.stderr.write(f"proa: {error}\n")
    return code


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        (
            "usage: proa COMMAND [OPTIONS]",
            "",
            "Kubernetes and WebAssembly for Python teams.",
            "",
            *lines,
            "",
            "`proa COMMAND --help` lists a command's options; each is also a variable, PROA_ and its name.",
            "",
        )
    )
