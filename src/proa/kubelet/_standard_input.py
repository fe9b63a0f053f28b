"""A container's standard input: a named pipe in the pod's directory, for those who attach to write to."""

import contextlib
import os
from pathlib import Path


class StandardInput:
    """Of one container that has `stdin`.

    With `once`, the guest's input ends with that of the first client, or with this kubelet. Else it never
    ends: the guest itself holds the end that is written to, so that clients and kubelets come and go.
    """

    def __init__(self, path: Path, *, once: bool) -> None:
        self._path = path
        self._once = once
        self._held: int | None = None

    def for_guest(self) -> int:
        """Make the pipe anew and return a descriptor for the guest, which is the caller's to close."""
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.unlink(missing_ok=True)
        os.mkfifo(self._path, 0o600)
        if not self._once:
            return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        # Not to wait for a writer, which is opened next, but to be a plain pipe for the guest.
        reading = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._held = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(reading, True)
        return reading

    def open(self) -> int | None:
        """Return a descriptor to write to, which is the caller's to close; None when nobody reads."""
        if self._once and self._held is None:
            return None
        with contextlib.suppress(OSError):
            return os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return None

    def close(self) -> None:
        """Of the kubelet nothing more comes: with `once`, that is the end of the input."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
