"""Spill files: what could not be written before the process ended, and how the next one finds it."""

from __future__ import annotations

import errno
import json
import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spooled import Logged, NewEntry, charge, spill_files, written

from spanledger.budgets import spill
from spanledger.budgets.spool import Spool
from spanledger.errors import LedgerError
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, ActivityTotal, Charge, Cost, CostStatus, Delegated, Entry, Execution, Hold, State, Unit, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_at_the_end_what_is_left_goes_to_a_private_file_and_is_settled_at_the_next_start(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path
) -> None:
    spool, entries = open_spool(), [entry(customer="acme") for _ in range(3)]
    file_ledger.reachable.clear()
    for one in entries:
        spool.put(one, charge())
    spool.close(0.1)
    (path,) = spill_files(tmp_path)
    assert path.name.startswith("spill-")
    assert f"-{os.getpid()}-" in path.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(LedgerError):
        open_spool().replay(path)
    file_ledger.reachable.set()
    other = Spool(file_ledger, tmp_path / "state", ledger_url="sqlite:///other")
    other.start()
    assert file_ledger.swept.wait(5.0)
    other.close(5.0)
    assert path.exists(), "it belongs to another ledger"
    file_ledger.swept.clear()
    open_spool().start()
    assert file_ledger.swept.wait(5.0)
    assert list(file_ledger.entries()) == entries
    assert (file_ledger.balances(0)[0].spent, spill_files(tmp_path)) == (30, [])


def test_replay_is_idempotent_and_loses_no_damaged_line(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = entry(), entry()
    file_ledger.settle(one, charge())
    path = tmp_path / "spill.jsonl"
    path.write_text(f"{spill.encode(spill.Settlement(one, charge()))}\n{{half a li\n{spill.encode(spill.Settlement(two, charge()))}\n")
    assert open_spool().replay(path) == 2
    assert (written(file_ledger), file_ledger.balances(0)[0].spent, path.exists()) == ([one.id, two.id], 20, False)
    assert f"{path}:2 cannot be read: {{half a li" in caplog.text


@pytest.mark.parametrize("content", [b'{"entry": \xff\xfe\n', b"\x00", b"\xff" * 10_000])
def test_a_spill_file_that_is_no_text_stops_neither_the_sweep_nor_the_other_files(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    spool, one, two = open_spool(), entry(), entry()
    spool.spills.write([spill.Settlement(one, charge())])
    (path,) = spill_files(tmp_path)
    path.write_bytes(content + b"\n" + path.read_bytes())
    file_ledger.reserve(two, charge(), 1.0)
    spool.start()
    assert file_ledger.swept.wait(5.0)
    assert (set(written(file_ledger)), file_ledger.open_leases(), spill_files(tmp_path)) == ({one.id, two.id}, 0, [])
    assert f"{path}:1 cannot be read: " in caplog.text


def test_a_spill_file_that_cannot_be_settled_is_put_aside(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, one = open_spool(), entry()
    for model in ("poison", one.model):
        spool.spills.write([spill.Settlement(entry(model=model) if model == "poison" else one, charge())])
    poisoned, _ = spool.spills.files()
    spool.start()
    assert file_ledger.swept.wait(5.0)
    assert (written(file_ledger), spill_files(tmp_path)) == ([one.id], [poisoned.with_suffix(".unsettled")])
    assert f"it stays in {poisoned.with_suffix('.unsettled')}" in caplog.text


def test_one_that_cannot_be_put_aside_either_is_tried_once(tmp_path: Path, entry: NewEntry) -> None:
    folder = spill.Folder(tmp_path, "")
    folder.write([spill.Settlement(entry(), charge())])
    (path,) = folder.files()
    path.with_suffix(".unsettled").mkdir()
    folder.put_aside(path, ValueError())
    assert (folder.files(), path.exists()) == ([], True)


def test_without_a_folder_what_is_left_goes_to_the_log(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture, logged: Logged
) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file" / "impossible"):
        caplog.clear()
        spool, one = open_spool(state_dir=folder), entry()
        file_ledger.reachable.clear()
        spool.put(one, charge())
        spool.close(0.1)
        assert [(settlement.entry, settlement.charges) for settlement in logged()] == [(one, charge())]


def test_a_ledger_in_memory_leaves_other_ledgers_files_alone(tmp_path: Path, entry: NewEntry) -> None:
    spill.Folder(tmp_path, "").write([spill.Settlement(entry(), charge())])
    spool = Spool(MemoryLedger(), tmp_path)
    assert spool.spills.files() == []


def test_closing_does_not_wait_for_a_hanging_ledger_and_loses_nothing(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path
) -> None:
    spool, entries = open_spool(), [entry() for _ in range(3)]
    file_ledger.hang.clear()
    for one in entries:
        spool.put(one, charge())
    spool.start()
    spool.close(0.1)
    (path,) = spill_files(tmp_path)
    assert [settlement.entry.id for settlement in spill.read(path)] == [one.id for one in entries]
    file_ledger.hang.set()  # now the thread settles its first one after all
    assert open_spool().replay(path) == 3
    assert file_ledger.balances(0)[0].spent == 30


def test_keys_that_cannot_be_changed_are_written_too(entry: NewEntry) -> None:
    one = entry()
    one.keys = MappingProxyType({"customer": "acme"})  # as a scope has them
    assert spill.decode(spill.encode(spill.Settlement(one, []))).entry.keys == {"customer": "acme"}


texts = st.text(max_size=10)
counts = st.none() | st.integers(0, 2**40)
usages = st.builds(Usage, counts, counts, counts, tools=st.none() | st.dictionaries(texts, st.integers(0, 9)), state=st.sampled_from(State))
costs = st.builds(Cost, counts, st.sampled_from(CostStatus), st.none() | texts)
holds = st.builds(Hold, texts, texts, texts, st.sampled_from(Unit), st.integers(), st.none() | st.integers(0, 10**9), st.booleans())
entries = st.builds(
    Entry, texts, st.floats(0, 1e10), st.sampled_from(Activity), texts, texts, st.none() | texts, keys=st.dictionaries(texts, texts),
    usage=usages, cost=costs, attempt=st.none() | st.integers(0, 9), duration=st.none() | st.floats(0, 1e6), superseded=st.booleans(),
)  # fmt: skip


@given(entries, st.lists(st.tuples(holds, st.integers()), max_size=3))
def test_settlements_survive_their_line_of_json(one: Entry, charges: list[Charge]) -> None:
    line = spill.encode(spill.Settlement(one, charges))
    assert "\n" not in line
    decoded = spill.decode(line)
    assert decoded == (one, charges)
    assert type(decoded.entry.activity) is Activity
    assert all(type(hold.unit) is Unit for hold, _ in decoded.charges)


def test_a_line_can_be_read_by_versions_that_do_not_know_what_no_ledger_keeps(entry: NewEntry) -> None:
    one = entry()
    one.usage = Usage(5, 6, tools={"advisor": 1}, delegated={"advisor": Delegated("large", Usage(1, 2))})
    line = spill.encode(spill.Settlement(one, charge()))
    assert "delegated" not in json.loads(line)["entry"]["usage"]
    one.usage.delegated = None
    assert spill.decode(line) == (one, charge())


def test_what_only_newer_versions_know_costs_no_record(entry: NewEntry) -> None:
    one = entry()
    line = json.loads(spill.encode(spill.Settlement(one, charge())))
    line["later"] = line["entry"]["later"] = line["entry"]["usage"]["later"] = line["entry"]["cost"]["later"] = 1
    assert line["charges"][0][:6] == ["A", "BUDGET", "", "tokens", 1000, 10], "as versions before wrote and read it"
    line["charges"][0].append("later")
    assert spill.decode(json.dumps(line)) == (one, charge())
    run = Execution("run", "flow", 1.0, 2.0, "completed", totals={"llm": ActivityTotal(1, 2)})
    line = json.loads(spill.encode(spill.RunEnd(run)))
    line["run"]["later"] = 1
    line["run"]["totals"]["llm"].append("later")
    assert spill.decode(json.dumps(line)) == spill.RunEnd(run)
    end = spill.StepEnd("run", "fetch", 1, ok=True)
    assert spill.decode(json.dumps({**end._asdict(), "later": 1})) == end


def test_a_file_that_cannot_be_finished_does_not_stay(
    tmp_path: Path, entry: NewEntry, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    one = entry()
    spill.Folder(tmp_path / "state", "").write([spill.Settlement(one, charge())])
    assert (spill_files(tmp_path), [settlement.entry for settlement in logged()]) == ([], [one])
