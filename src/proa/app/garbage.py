"""When a process looks for cyclic garbage: rarely, and never for long at once."""

import gc

NEW, NEWER, OLD = 10_000, 0, 5_000


def tune() -> None:
    """Set CPython's cyclic garbage collector for programs that hold many objects; call it once, at start.

    With Python's own setting it looks at all objects again and again while a cache fills, for three quarters
    of what decoding costs. With this one young objects are looked at in portions of 20,000, which takes
    milliseconds, and old ones only after 100 million more containers were made than freed. `proa.app.run`
    calls it; libraries should not, as it holds for the whole process.

    Caveat: cyclic garbage that has become old stays for long. Objects freed by their reference counts, as
    nearly all are, don't depend on the collector.
    """
    gc.set_threshold(NEW, NEWER, OLD)
