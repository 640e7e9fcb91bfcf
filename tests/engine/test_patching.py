"""Patching leaves no trace: types, signatures and what was there before."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

import pytest
import wrapt

from spanledger import install
from spanledger.engine import patching
from spanledger.engine.adapter import Adapter, Reader, Target


def test_uninstrument_restores_exactly_what_was_there(make_house: Any, fake: Any) -> None:
    client = fake.module.Client
    before, base = dict(vars(client)), dict(vars(fake.module.Base))
    make_house(fake.adapter)
    assert vars(client)["plain"] is not before["plain"]
    assert "inherited" in vars(client)
    install.uninstrument()
    assert dict(vars(client)) == before, "own, static and class methods are back, the inherited one is no longer the class's own"
    assert dict(vars(fake.module.Base)) == base


def test_signatures_and_kinds_stay(make_house: Any, fake: Any) -> None:
    client = fake.module.Client
    before = {name: inspect.signature(getattr(client, name)) for name in ("plain", "coroutine", "generator", "static", "klass")}
    make_house(fake.adapter)
    assert {name: inspect.signature(getattr(client, name)) for name in before} == before
    assert inspect.iscoroutinefunction(client.coroutine)
    assert inspect.isgeneratorfunction(client.generator)
    assert inspect.isasyncgenfunction(client.async_generator)
    assert client.plain.__name__ == "plain"
    assert isinstance(inspect.getattr_static(client, "static"), staticmethod)


def test_static_class_and_inherited_methods_are_counted(make_house: Any, fake: Any) -> None:
    house = make_house(fake.adapter)
    client = fake.module.Client()
    assert client.static(n=2).text == "hello"
    assert fake.module.Client.static(n=2).text == "hello"
    assert client.klass().text == "Client"
    assert client.inherited().text == "hello"
    assert len(house.entries) == 4


def test_types_stay(make_house: Any, fake: Any) -> None:
    make_house(fake.adapter)
    client = fake.module.Client()
    assert type(client.plain()) is fake.module.Chunk
    assert isinstance(client.stream(), fake.module.Stream)
    assert isinstance(client.generator(), types.GeneratorType)
    assert isinstance(client.async_generator(), types.AsyncGeneratorType)
    assert isinstance(client.manager(), fake.module.Manager)
    with client.manager() as stream:
        assert isinstance(stream, fake.module.HelperStream)
    assert type(client.raw()) is fake.module.Raw


def test_wrappers_kept_by_somebody_are_inert_after_uninstrument(make_house: Any, fake: Any) -> None:
    house = make_house(fake.adapter)
    client = fake.module.Client()
    bound, ledger = client.plain, house.runtime.ledger
    bound()
    install.uninstrument()
    assert bound().text == "hello"
    assert len(list(ledger.entries())) == 1


def test_a_wrapper_over_ours_is_left_in_place(make_house: Any, fake: Any, caplog: Any) -> None:
    house = make_house(fake.adapter)
    client = fake.module.Client
    wrapt.wrap_function_wrapper(client, "plain", lambda wrapped, _instance, args, kwargs: wrapped(*args, **kwargs))
    theirs, ledger = vars(client)["plain"], house.runtime.ledger
    install.uninstrument()
    assert vars(client)["plain"] is theirs
    assert "wrapped by somebody else" in caplog.text
    assert client().plain().text == "hello"
    assert list(ledger.entries()) == []


def test_instrumenting_again_counts_once(make_house: Any, fake: Any) -> None:
    make_house(fake.adapter)
    install.uninstrument()
    house = make_house(fake.adapter)
    install.instrument(adapters=[fake.adapter])  # does nothing: it is on already
    fake.module.Client().plain()
    assert len(house.entries) == 1


def test_absent_targets_are_reported_not_raised(make_house: Any, fake: Any) -> None:
    reader = Reader(request=None, response=None, chunk=None)  # type: ignore[arg-type]  # never reached
    make_house(Adapter("fakelib", "fakelib", (Target("fakelib", "Client.gone", reader), Target("fakelib", "Nobody.create", reader))))
    library = next(entry for entry in install.status()["libraries"] if entry["library"] == "fakelib")
    assert library["absent"] == ["fakelib:Client.gone", "fakelib:Nobody.create"]


def test_a_module_imported_later_is_patched_on_import(make_house: Any, fake: Any, tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "laterlib.py").write_text("class Client:\n    def plain(self, **kw):\n        return None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    reader = fake.adapter.targets[0].reader
    make_house(Adapter("laterlib", "laterlib", (Target("laterlib", "Client.plain", reader),)))
    assert "laterlib" not in sys.modules
    import laterlib  # type: ignore[import-not-found]

    assert vars(laterlib.Client)["plain"].__wrapped__.__module__ == "laterlib"
    del sys.modules["laterlib"]


def test_patch_names_what_is_missing() -> None:
    module = types.ModuleType("empty")
    with pytest.raises(AttributeError, match="empty has no create"):
        patching.patch(module, "create", lambda original: original)
