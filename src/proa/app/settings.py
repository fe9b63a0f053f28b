"""Settings of a program: flag, then environment variable, then file, then default; typed, checked together.

Declare them as a dataclass::

    @dataclass(frozen=True, kw_only=True)
    class RegistrySettings:
        data_dir: Path = setting(Path(".proa"), help="where blobs are kept")
        port: int = setting(5050, help="port to listen on; 0 picks a free one")
        token: Secret | None = setting(None, help="bearer token that clients must send")

        def validate(self) -> Iterable[str]:
            if self.port > 65535:
                yield "port: must be below 65536"

`data_dir` is then `--data-dir`, `PROA_DATA_DIR`, and `data_dir` or `dataDir` in a YAML file. Types: `str`,
`int`, `float`, `bool` (`--x`, `--no-x`), `Path`, enums, `Literal`, `Secret`, `timedelta` ("1m30s"),
`tuple[T, ...]` (a repeated flag; commas in the environment), `dict[str, T]` (`key=value`), and `T | None`.

A class that also reads files of another shape has a static method `translate_document`, which is given what
stands in a file and returns it by the settings' names.

An empty environment variable counts as absent, since that is all that templates can produce.
"""

import argparse
import dataclasses
import difflib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast, get_type_hints, overload

from proa.app._convert import Converter, converter_for, format_duration, parse_duration
from proa.app.errors import ProaError
from proa.app.secret import MASK, Secret

__all__ = [
    "Secret",
    "SettingInfo",
    "SettingsError",
    "add_arguments",
    "describe",
    "format_duration",
    "load",
    "parse_duration",
    "resolve",
    "setting",
]

T = TypeVar("T")
_METADATA: Final = "proa.setting"
_REQUIRED: Final = dataclasses.MISSING


class SettingsError(ProaError):
    """Some settings are wrong or missing.

    Attributes:
        problems: One line for each, naming the flag, variable or file key.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        many = f"{len(self.problems)} settings are wrong:\n  " if len(self.problems) > 1 else ""
        super().__init__(many + "\n  ".join(self.problems))


@overload
def setting(default: T, *, help: str, env: str | None = None) -> T: ...
@overload
def setting(*, help: str, env: str | None = None) -> Any: ...
def setting(default: Any = _REQUIRED, *, help: str, env: str | None = None) -> Any:  # noqa: A002
    """Declare a field of a settings dataclass.

    Args:
        default: The value when nothing sets it; without one the setting is required.
        help: What it means, with its unit, for `--help` and the documentation.
        env: The whole name of its environment variable, where that is not prefix + NAME.
    """
    metadata = {_METADATA: (help, env)}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class SettingInfo:
    """One setting as documentation describes it.

    Attributes:
        name: The field's name, also its key in a file.
        flag: Its command-line flag.
        variable: Its environment variable.
        expected: What a value looks like, in words.
        default: The default as text, "" when none; a secret's is masked.
        help: What it means.
        required: Whether something must set it.
    """

    name: str
    flag: str
    variable: str
    expected: str
    default: str
    help: str
    required: bool


@dataclasses.dataclass(frozen=True)
class _Setting:
    info: SettingInfo
    converter: Converter

    @property
    def name(self) -> str:
        return self.info.name


def load(
    cls: type[T],
    *,
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    prefix: str = "PROA_",
    program: str | None = None,
    file: Path | None = None,
) -> T:
    """Read the settings of a program without sub-commands.

    Args:
        cls: A dataclass whose fields are declared with `setting`.
        arguments: The command line without the program's name; `sys.argv`'s by default.
        environ: The environment; the process's by default.
        prefix: What the names of environment variables begin with.
        program: The program's name in `--help`.
        file: A YAML file with a mapping; None reads none.

    Raises:
        SettingsError: With every problem found.
        SystemExit: `--help` (0), or a flag that does not exist (2), as argparse does.
    """
    parser = argparse.ArgumentParser(prog=program, description=_first_line(cls), allow_abbrev=False)
    add_arguments(parser, cls, prefix=prefix)
    namespace = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    return resolve(cls, namespace, environ=environ, prefix=prefix, file=file)


def add_arguments(parser: argparse.ArgumentParser, cls: type[Any], *, prefix: str = "PROA_") -> None:
    """Add a flag for each setting to a parser, or to a sub-command's; `resolve` reads them back."""
    group = parser.add_argument_group("settings")
    for item in _settings(cls, prefix):
        info = item.info
        default = f"; default {info.default}" if info.default else ""
        # Values stay text here, so that resolve can report all that are wrong together.
        keywords: dict[str, Any] = {
            "dest": info.name,
            "default": argparse.SUPPRESS,
            "help": f"{info.help} [${info.variable}{default}]".replace("%", "%%"),
        }
        if item.converter.is_flag:
            group.add_argument(info.flag, action=argparse.BooleanOptionalAction, **keywords)
        else:
            action = "append" if item.converter.repeats else "store"
            group.add_argument(info.flag, action=action, metavar=item.converter.metavar, **keywords)


def resolve(
    cls: type[T],
    namespace: argparse.Namespace,
    *,
    environ: Mapping[str, str] | None = None,
    prefix: str = "PROA_",
    file: Path | None = None,
) -> T:
    """Build the settings from parsed flags, the environment, a file and the defaults.

    Raises:
        SettingsError: With every problem found.
    """
    environ = os.environ if environ is None else environ
    settings = list(_settings(cls, prefix))
    problems: list[str] = []
    read = _read_file(file, problems) if file else {}
    if translate := getattr(cls, "translate_document", None):
        read = translate(read)
    document = _by_field_name(read, settings, file, problems)
    values: dict[str, Any] = {}
    unread: list[str] = []
    for item in settings:
        try:
            values |= _value(item, namespace, environ, document, file)
        except ValueError as error:
            problems.append(str(error))
            unread.append(item.info.name)
    try:
        made = cls(**values)
    except TypeError:
        if not problems:
            raise
        raise SettingsError(problems) from None  # Something required is missing: one of them.
    problems += (problem for problem in _invalid(made) if not any(name in problem for name in unread))
    if problems:
        raise SettingsError(problems)
    return made


def describe(cls: type[Any], *, prefix: str = "PROA_") -> list[SettingInfo]:
    """List a program's settings in the order of declaration."""
    return [item.info for item in _settings(cls, prefix)]


def _settings(cls: type[Any], prefix: str) -> Iterator[_Setting]:
    types = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if _METADATA not in field.metadata:
            raise TypeError(f"{cls.__name__}.{field.name} must be declared with setting()")
        help_text, variable = field.metadata[_METADATA]
        default = field.default_factory() if callable(field.default_factory) else field.default
        info = SettingInfo(
            name=field.name,
            flag="--" + field.name.replace("_", "-"),
            variable=variable or prefix + field.name.upper(),
            expected=(converter := converter_for(types[field.name])).expected,
            default="" if default is _REQUIRED else converter.show(default),
            help=help_text,
            required=default is _REQUIRED,
        )
        yield _Setting(info, converter)


def _value(
    item: _Setting,
    namespace: argparse.Namespace,
    environ: Mapping[str, str],
    document: Mapping[str, tuple[str, object]],
    file: Path | None,
) -> dict[str, Any]:
    """Return {name: value} from the first source that has one, {} to leave it to the default."""
    info, convert = item.info, item.converter
    given = getattr(namespace, info.name, None)
    if given is not None:
        return {info.name: given if convert.is_flag else _convert(info.flag, convert, convert.flag, given)}
    if text := environ.get(info.variable, ""):
        return {info.name: _convert(info.variable, convert, convert.text, text)}
    if info.name in document:
        key, raw = document[info.name]
        if raw is not None:
            return {info.name: _convert(f"{key} in {file}", convert, convert.document, raw)}
    if info.required:
        raise ValueError(f"{info.flag} or {info.variable} must be set: {info.help}")
    return {}


def _convert(source: str, converter: Converter, convert: Any, raw: object) -> object:
    try:
        return convert(raw)
    except ValueError as error:
        shown = MASK if converter.is_secret else repr(raw)
        raise ValueError(f"{source}: {shown} is wrong: expected {error}") from None


def _invalid(settings: Any) -> Iterable[str]:
    validate = getattr(settings, "validate", None)
    return validate() if validate is not None else ()


def _read_file(file: Path, problems: list[str]) -> dict[str, object]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8 text")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problems.append(f"{file}: is not YAML{where}: {getattr(error, 'problem', None) or error}")
    else:
        if document is None:
            return {}
        if isinstance(document, dict):
            return cast("dict[str, object]", document)
        problems.append(f"{file}: expected a mapping of settings, not {type(document).__name__}")
    return {}


def _by_field_name(
    document: Mapping[str, object], settings: Sequence[_Setting], file: Path | None, problems: list[str]
) -> dict[str, tuple[str, object]]:
    """Return {field name: (key as written, value)}; keys that are no setting become problems."""
    names = {spelling: item.name for item in settings for spelling in (item.name, _camel_case(item.name))}
    found: dict[str, tuple[str, object]] = {}
    for key, value in document.items():
        name = names.get(str(key))
        if name is None:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"{key} in {file}: no such setting{hint}")
        elif name in found:
            problems.append(f"{key} in {file}: already set as {found[name][0]}")
        else:
            found[name] = (str(key), value)
    return found


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _first_line(cls: type[Any]) -> str | None:
    documentation = cls.__doc__ or ""
    # A dataclass without a docstring gets its signature as one: no description.
    return None if documentation.startswith(f"{cls.__name__}(") else documentation.partition("\n")[0] or None
