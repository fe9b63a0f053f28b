"""Machines whose edges are return annotations: for operators, and for anything else that has states.

::

    class Solid(State[Kettle]):
        async def next(self, kettle: Kettle, water: Latest[Water]) -> Liquid:
            await water.until(lambda now: now.celsius > 0)
            return Liquid()

    WATER = Machine("water", initial=Solid)

Parts, in the order to read them:

- `State`, `Final` and `Done`: what is done in a state, and what follows. `on_error` and `within` make errors
  and time-outs edges; `Wait`, `BackOff` and `Retry` are states to wait in.
- `Latest` and `Cell`: a value that changes, to read and to share.
- `Machine`: checks the states and goes through them. `Edge` and `Entry` are what it found.
- `mermaid` and `svg` draw it.
- `Operator`: a machine for each object of a Kubernetes resource, on `proa.runtime`. The rest works on
  anything.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy
from proa.statemachine._declare import on_error, within
from proa.statemachine._errors import MachineError, StateMachineError, UndeclaredEdgeError
from proa.statemachine._graph import Edge, Entry
from proa.statemachine._latest import Cell, Latest
from proa.statemachine._machine import Entered, Interrupt, Machine, Start
from proa.statemachine._mermaid import mermaid
from proa.statemachine._state import Done, Final, State
from proa.statemachine._svg import svg
from proa.statemachine._waiting import BackOff, Retry, Wait, generation_changed

if TYPE_CHECKING:
    from proa.statemachine._operator import Operator
else:  # Machines alone need no Kubernetes.
    __getattr__, __dir__ = lazy(__name__, {"_operator": ("Operator",)})

__all__ = [
    "BackOff",
    "Cell",
    "Done",
    "Edge",
    "Entered",
    "Entry",
    "Final",
    "Interrupt",
    "Latest",
    "Machine",
    "MachineError",
    "Operator",
    "Retry",
    "Start",
    "State",
    "StateMachineError",
    "UndeclaredEdgeError",
    "Wait",
    "generation_changed",
    "mermaid",
    "on_error",
    "svg",
    "within",
]
