"""Names that a package offers but loads only when they are first used."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and the `__dir__` of a package (PEP 562) that loads its names on first use.

    `homes` says for each module of the package, named relative to it, which names it has. Type checkers are
    to see ordinary imports instead, so that they refuse names that don't exist::

        if TYPE_CHECKING:
            from proa.kube.api import Api
        else:
            __getattr__, __dir__ = lazy(__name__, {"api": ["Api"]})
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    module = sys.modules[package]

    def load(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = getattr(import_module(f"{package}.{home_of[name]}"), name)
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *home_of})

    return load, names
