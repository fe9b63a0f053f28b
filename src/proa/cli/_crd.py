"""`proa crd generate MODULE:CLASS`: the definition of a custom resource, as YAML."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import yaml

from proa.kube.crd import CrdError, document
from proa.kube.models import Resource


def main(arguments: Sequence[str]) -> int:
    """Print CustomResourceDefinitions; classes of one kind become versions of one."""
    parser = argparse.ArgumentParser(prog="proa crd", description="Custom resources from Python types.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", help="print the definitions of custom resources as YAML")
    generate.add_argument(
        "classes", nargs="+", metavar="MODULE:CLASS", help="for example operator.types:Widget"
    )
    generate.add_argument(
        "--storage", metavar="VERSION", help="the version that is stored (default: the last)"
    )
    words = parser.parse_args(arguments)
    kinds: dict[str, list[type[Resource]]] = {}
    for name in words.classes:
        found = _loaded(name)
        kinds.setdefault(found.resource.qualified_name, []).append(found)
    documents = [document(*versions, storage=_stored(versions, words.storage)) for versions in kinds.values()]
    yaml.safe_dump_all(documents, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


def _loaded(name: str) -> type[Resource]:
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise CrdError(f"{name!r} is not MODULE:CLASS, such as operator.types:Widget")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise CrdError(f"cannot import {module_name}: {error}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not issubclass(found, Resource) or not hasattr(found, "__crd__"):
        raise CrdError(f"{name} is no class decorated with proa.kube.crd.resource(...)")
    return found


def _stored(versions: Sequence[type[Resource]], storage: str | None) -> type[Resource] | None:
    if storage is None:
        return None
    for cls in versions:
        if cls.resource.version == storage:
            return cls
    raise CrdError(f"none of the classes is version {storage!r}")
