import copy
import pickle

import pytest

from proa.app import Secret


def test_a_secret_never_shows_its_value() -> None:
    secret = Secret("hunter2")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!r}",
        f"{[secret]}",
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_a_secret_cannot_be_pickled_but_can_be_copied() -> None:
    secret = Secret("hunter2")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    assert copy.deepcopy({"a": secret})["a"] is secret
