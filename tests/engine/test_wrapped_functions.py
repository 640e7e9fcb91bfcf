"""A wrapped function can be copied and pickled as it could be before: process pools, partials, deep copies of what holds it."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import openai
import pytest
from openai.resources.chat.completions import Completions

import spanledger

SOURCE = """
def double(n):
    return 2 * n

async def later(n):
    return n

class Tools:
    def __init__(self, add=1):
        self.add = add

    def more(self, n):
        return n + self.add

    @staticmethod
    def still(n):
        return -n

    @classmethod
    def named(cls, n):
        return cls.__name__, n
"""


@spanledger.plugin
def halve(n: int) -> float:
    return n / 2


@pytest.fixture
def tools(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("tools_of_an_application")
    exec(SOURCE, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = ("double", "later", "Tools.more", "Tools.still", "Tools.named")
    make_house(SPANLEDGER_PLUGINS=", ".join(f"{module.__name__}:{name}" for name in names))
    assert hasattr(module.double, "__wrapped__")
    return module


CASES = {
    "function": (lambda m: m.double, (2,), 4),
    "partial": (lambda m: functools.partial(m.double, 2), (), 4),
    "method": (lambda m: m.Tools(3).more, (2,), 5),
    "function of a class": (lambda m: functools.partial(m.Tools.more, m.Tools(3)), (2,), 5),
    "static method": (lambda m: m.Tools.still, (2,), -2),
    "static method of an object": (lambda m: m.Tools().still, (2,), -2),
    "class method": (lambda m: m.Tools.named, (2,), ("Tools", 2)),
}


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))], ids=["copy", "deepcopy", "pickle"]
)
@pytest.mark.parametrize("case", CASES)
def test_a_copy_is_the_function(tools: Any, case: str, again: Any) -> None:
    make, arguments, expected = CASES[case]
    assert again(make(tools))(*arguments) == expected


def test_a_deep_copy_of_a_method_has_an_object_of_its_own(tools: Any) -> None:
    held = {"more": tools.Tools(3).more, "double": tools.double}
    copied = copy.deepcopy(held)
    assert copied["double"] is held["double"]
    assert copied["more"].__self__ is not held["more"].__self__


def test_process_pools_take_decorated_functions(make_house: Any) -> None:
    make_house()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(halve, 3).result() == 1.5


def test_client_methods(make_house: Any) -> None:
    make_house()
    client = openai.OpenAI(api_key="none")
    assert pickle.loads(pickle.dumps(Completions.create)).__wrapped__ is Completions.create.__wrapped__
    assert copy.copy(client.chat.completions.create).__self__ is client.chat.completions
    assert copy.deepcopy(Completions.create).__wrapped__ is Completions.create.__wrapped__
