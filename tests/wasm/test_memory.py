"""A guest's linear memories are bounded together, to the byte."""

from typing import NoReturn

import pytest
from wasmtime import Config, Engine, Func, Instance, Module, Store

from proa.wasm._memory import GuestMemory

GROWS = """(module
  (memory (export "memory") 1 {maximum})
  (data (i32.const 65530) "abc")
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0)))
)"""


class _ExceededError(Exception):
    pass


def _exceeded(size: int) -> NoReturn:
    raise _ExceededError(size)


class _Guest:
    def __init__(self, limit: int, maximum: str = "") -> None:
        self.memory = GuestMemory()
        self.memory.bound(limit, _exceeded)
        config = Config()
        config.memory_init_cow = False
        self.memory.apply_to(config)
        engine = Engine(config)
        self.store = Store(engine)
        module = Module(engine, GROWS.format(maximum=maximum))
        self._exports = Instance(self.store, module, []).exports(self.store)

    def call(self, name: str, argument: int) -> int:
        function = self._exports[name]
        assert isinstance(function, Func)
        result: int = function(self.store, argument)
        return result


def test_memory_grows_up_to_the_limit_and_keeps_its_content() -> None:
    guest = _Guest(limit=3 * 65536)
    assert guest.call("grow", 2) == 1
    assert guest.call("read", 65531) == ord("b")
    assert guest.call("read", 3 * 65536 - 1) == 0


def test_the_modules_own_maximum_is_refused_as_webassembly_says() -> None:
    guest = _Guest(limit=10 * 65536, maximum="2")
    assert guest.call("grow", 1) == 1
    assert guest.call("grow", 1) == -1


def test_what_lies_beyond_the_present_size_traps() -> None:
    guest = _Guest(limit=10 * 65536)
    with pytest.raises(Exception, match="out of bounds"):
        guest.call("read", 65536)
    assert guest.call("grow", 1) == 1
    assert guest.call("read", 65536) == 0
    with pytest.raises(Exception, match="out of bounds"):
        guest.call("read", 4 * 65536)


def test_a_guest_finds_nothing_of_the_one_before_it_and_cannot_reach_where_that_one_was() -> None:
    memory = GuestMemory()
    config = Config()
    config.memory_init_cow = False
    memory.apply_to(config)
    engine = Engine(config)
    module = Module(
        engine,
        """(module (memory 1)
          (func (export "dirty") (param i32) (drop (memory.grow (i32.const 2)))
            (i32.store (local.get 0) (i32.const 42)))
          (func (export "read") (param i32) (result i32) (i32.load (local.get 0))))""",
    )

    def call(store: Store, name: str, argument: int) -> int:
        function = Instance(store, module, []).exports(store)[name]
        assert isinstance(function, Func)
        result: int = function(store, argument)
        return result

    for address in (8, 150_000):
        memory.bound(3 * 65536, _exceeded)
        with Store(engine) as store:
            call(store, "dirty", address)
    with Store(engine) as store:
        assert call(store, "read", 8) == 0
    with Store(engine) as store, pytest.raises(Exception, match="out of bounds"):
        call(store, "read", 150_000)
