"""Who has a say in a write, besides the rules of its type: what depends on other objects and on who asks.

Each plug-in is a function (or a small class that has what it must look at) from a `Review` to nothing: it
changes the new object, or refuses with a StatusError. `Chain` runs those that are concerned, in order;
`admission` lists them all. Start reading at `_plugins.py`.
"""

from ._chain import Chain
from ._plugins import admission
from ._priority import PRIORITIES

__all__ = ["PRIORITIES", "Chain", "admission"]
