import io
import sys

import pytest

from proa.app import ProaError
from proa.app.errors import leaves, report


def test_leaves_are_the_exceptions_inside_groups() -> None:
    one, two, three = ValueError(), KeyError(), OSError()
    group = ExceptionGroup("outer", [one, ExceptionGroup("inner", [two, three])])
    assert list(leaves(group)) == [one, two, three]
    assert list(leaves(one)) == [one]


def test_an_error_is_reported_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ProaError("no such file: x"), "proa push") == 1
    assert capsys.readouterr().err == "proa push: no such file: x\n"


def test_a_closed_stderr_is_no_further_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert report(ProaError("gone")) == 1
