"""Write docs/commands.md from the commands' own settings, so that the two cannot differ.

python tools/document_commands.py
"""

from pathlib import Path

from proa.app import settings
from proa.cli._commands import COMMANDS
from proa.cli._controller_manager import ControllerManagerSettings
from proa.cli._dashboard import Settings as DashboardCommandSettings
from proa.cli._process import with_process_settings
from proa.cli._registry import RegistrySettings
from proa.cli._run import RunSettings
from proa.cli._scheduler import SchedulerSettings
from proa.cli._up import UpSettings
from proa.controlplane import ApiServerSettings
from proa.kubelet import KubeletSettings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEAD = """# Commands and settings

Written by `tools/document_commands.py`. A setting is taken from its flag, else from its environment
variable, else from the YAML file that `--config` names (the flag's name, with underscores or in camelCase),
else from its default. All that is wrong is reported at once.

"""
USAGES = {
    "up": "proa up",
    "apiserver": "proa apiserver",
    "backup": "proa backup FILE [--data-dir DIR]",
    "restore": "proa restore FILE [--data-dir DIR]",
    "kubelet": "proa kubelet",
    "registry": "proa registry",
    "run": "proa run FILE [--env K=V] [OPTIONS] [-- ARGS]",
    "push": "proa push FILE REF",
    "apply": "proa apply -f FILE [--prune SELECTOR] [OPTIONS]",
    "get": "proa get RESOURCE [NAME] [-o table|wide|name|yaml|json] [OPTIONS]",
    "delete": "proa delete -f FILE | RESOURCE NAME... [OPTIONS]",
    "logs": "proa logs POD [-f] [OPTIONS]",
    "exec": "proa exec POD [-i] [-t] [OPTIONS] -- COMMAND",
    "crd": "proa crd generate MODULE:CLASS... [--storage VERSION]",
    "statemachine": "proa statemachine draw MODULE:NAME [--format mermaid|svg] [--output FILE]",
    "version": "proa version",
}
SETTINGS: dict[str, type] = {
    "up": with_process_settings(UpSettings),
    "apiserver": with_process_settings(ApiServerSettings),
    "scheduler": with_process_settings(SchedulerSettings),
    "controller-manager": with_process_settings(ControllerManagerSettings),
    "dashboard": with_process_settings(DashboardCommandSettings),
    "kubelet": with_process_settings(KubeletSettings),
    "registry": with_process_settings(RegistrySettings),
    "run": RunSettings,
}


def document() -> str:
    """The whole text."""
    return HEAD + "\n".join(_command(name) for name in COMMANDS)


def _command(name: str) -> str:
    summary = COMMANDS[name][1]
    text = f"## `{USAGES.get(name, f'proa {name}')}`\n\n{summary[0].upper()}{summary[1:]}.\n"
    if name not in SETTINGS:
        return text
    rows = [
        f"| `{each.flag}` | `{each.variable}` | {_default(each.default)} | {_escape(each.help)} |"
        for each in settings.describe(SETTINGS[name])
    ]
    return "\n".join((text, "| flag | variable | default | meaning |", "|---|---|---|---|", *rows, ""))


def _default(text: str) -> str:
    return f"`{text}`" if text else ""


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
