"""The background thread: order, retry, leases, spill files, the end of the process and forks."""

from __future__ import annotations

import gc
import json
import logging
import os
import queue
import signal
import stat
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger import queues
from spanledger.budgets import spill
from spanledger.budgets import spool as spools
from spanledger.budgets.spool import Spool
from spanledger.errors import LedgerError
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, Hold, State, Unit, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    NewEntry = Callable[..., Entry]
    OpenDesk = Callable[..., Any]


class Ledger(SqliteLedger):
    """A real ledger that can be out of reach, and that shows when its thread passes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reachable = threading.Event()
        self.reachable.set()
        self.hang = threading.Event()
        self.hang.set()
        self.renewed, self.swept = threading.Event(), threading.Event()
        self.renewals: list[tuple[set[str], float]] = []

    def settle(self, entry: Entry, charges: Any, *, wait: bool = True) -> Any:
        if entry.model == "poison":
            raise ZeroDivisionError
        self.hang.wait(30)
        if not self.reachable.is_set():
            raise LedgerError("away")  # noqa: EM101
        return super().settle(entry, charges, wait=wait)

    def renew(self, entry_ids: Any, expires: float) -> None:
        self.renewals.append((set(entry_ids), expires))
        super().renew(entry_ids, expires)
        self.renewed.set()

    def sweep(self, now: float) -> Any:
        swept = super().sweep(now)
        self.swept.set()
        return swept


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.hang.set()
    ledger.close()


@pytest.fixture
def open_spool(file_ledger: Ledger, tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    spools: list[Spool] = []

    def make(**options: Any) -> Spool:
        spools.append(Spool(file_ledger, **{"state_dir": tmp_path / "state", "ledger_url": "sqlite:///x", **options}))
        return spools[-1]

    yield make
    file_ledger.hang.set()
    file_ledger.reachable.set()
    for spool in spools:
        spool.close(5.0)


def charge(amount: int = 10) -> list[Hold]:
    return [Hold("A", "BUDGET", "", Unit.TOKENS, 1000, amount)]


def written(ledger: Ledger) -> list[str]:
    return [entry.id for entry in ledger.entries()]


def spill_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state").glob("*"))


def test_settles_in_order_and_says_so(file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, told = open_spool(), []
    spool.settled = lambda entry, standings: told.append((entry.id, standings[0][1]))
    entries = [entry() for _ in range(5)]
    for one in entries:
        spool.put(one, charge())
    assert spool.flush(5.0)
    assert told == [(one.id, 10 * number) for number, one in enumerate(entries, 1)]
    assert spool.flush(5.0), "an empty spool is flushed at once"


def test_keeps_what_the_ledger_does_not_take_and_tries_again(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
) -> None:
    spool, entries = open_spool(), [entry() for _ in range(3)]
    file_ledger.reachable.clear()
    for one in entries:
        spool.leases.add(one.id)
        spool.put(one, charge())
    assert not spool.flush(0.2)
    assert written(file_ledger) == []
    assert spool.leases == {one.id for one in entries}, "what waits keeps its lease"
    file_ledger.reachable.set()
    assert spool.flush(5.0)
    assert written(file_ledger) == [one.id for one in entries]
    assert spool.leases == set()
    assert sum("the ledger cannot be reached" in record.message for record in caplog.records) == 1, "one outage, one warning"


def test_a_flush_does_not_wait_for_the_next_try(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "_FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(spools, "_LAST_PAUSE", 1000.0)
    spool = open_spool()
    file_ledger.reachable.clear()
    spool.put(entry(), charge())
    assert not spool.flush(0.2)
    file_ledger.reachable.set()
    assert spool.flush(5.0)


def test_what_the_ledger_cannot_take_at_all_does_not_stop_the_others(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
) -> None:
    spool, bad, good = open_spool(), entry("poison"), entry()
    spool.put(bad, charge())
    spool.put(good, charge())
    assert spool.flush(5.0)
    assert written(file_ledger) == [good.id]
    assert [settlement.entry.id for settlement in logged(caplog)] == [bad.id]


def logged(caplog: pytest.LogCaptureFixture) -> list[spill.Settlement]:
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    return [spill.decode(line.removeprefix("not in the ledger: ")) for line in lines]


def test_over_the_bound_the_oldest_go_to_the_log(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    spool, entries = open_spool(bound=4), [entry() for _ in range(9)]
    file_ledger.reachable.clear()
    for one in entries:
        spool.put(one, charge())
    assert not spool.flush(0.2)
    spool.close(0.2)
    dropped = [settlement.entry.id for settlement in logged(caplog)]
    kept = [settlement.entry.id for path in spill_files(tmp_path) for settlement in spill.read(path)]
    assert dropped + kept == [one.id for one in entries]
    assert 2 <= len(kept) <= 4


def test_leases_are_renewed_while_calls_are_under_way(file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, running, ended = open_spool(lease_seconds=0.15, clock=lambda: 1000.0), entry(), entry()
    for one in (running, ended):
        file_ledger.reserve(one, [], expires=1000.0)
        spool.leases.add(one.id)
    spool.leases.discard(ended.id)
    spool.start()  # only now: a renewal before would be of both
    assert file_ledger.renewed.wait(5.0)
    assert file_ledger.renewals[-1] == ({running.id}, 1000.15)
    assert [swept.id for swept in file_ledger.sweep(1000.1)] == [ended.id]


def test_expired_leases_are_swept_at_the_start(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
) -> None:
    lost = entry(usage=Usage(5, 50, state=State.ESTIMATED))
    file_ledger.reserve(lost, charge(55), expires=999.0)
    spool = open_spool(clock=lambda: 1000.0)
    spool.start()
    assert file_ledger.swept.wait(5.0)
    spool.close(5.0)
    assert [(one.id, one.usage.state) for one in file_ledger.entries()] == [(lost.id, State.UNKNOWN)]
    assert file_ledger.balances(0)[0].spent == 55
    assert "1 calls were never settled; they are booked by their estimates, as unknown" in caplog.text


def test_calls_under_way_are_renewed_before_the_sweep(file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    mine = entry()
    file_ledger.reserve(mine, [], expires=999.0)  # the ledger was away for longer than the lease
    spool = open_spool(clock=lambda: 1000.0)
    spool.track(mine.id)
    assert file_ledger.swept.wait(5.0)
    assert (written(file_ledger), file_ledger.open_leases()) == ([], 1)


def test_at_the_end_what_is_left_goes_to_a_private_file_and_is_settled_at_the_next_start(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path
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
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
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
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file" / "impossible"):
        caplog.clear()
        spool, one = open_spool(state_dir=folder), entry()
        file_ledger.reachable.clear()
        spool.put(one, charge())
        spool.close(0.1)
        assert [(settlement.entry, settlement.charges) for settlement in logged(caplog)] == [(one, charge())]


def test_a_ledger_in_memory_leaves_other_ledgers_files_alone(tmp_path: Path, entry: NewEntry) -> None:
    spill.Folder(tmp_path, "").write([spill.Settlement(entry(), charge())])
    spool = Spool(MemoryLedger(), tmp_path)
    assert spool.spills.files() == []


def test_closing_does_not_wait_for_a_hanging_ledger_and_loses_nothing(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, tmp_path: Path
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


def test_a_closed_spool_starts_anew(file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, one, two = open_spool(), entry(), entry()
    spool.close(1.0)
    spool.put(one, charge())
    spool.close(5.0)
    assert written(file_ledger) == [one.id]
    spool.put(two, charge())
    assert spool.flush(5.0)
    assert written(file_ledger) == [one.id, two.id]


def test_put_works_in_a_finaliser_whatever_the_thread_holds(file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, one = open_spool(), entry()

    class Stream:
        def __del__(self) -> None:
            spool.put(one, charge())

    def drop() -> None:
        with spool._starting, threading._active_limbo_lock:  # type: ignore[attr-defined]
            stream = Stream()
            stream.itself = stream  # type: ignore[attr-defined]
            del stream
            gc.collect()

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "put() waits for a lock"
    assert spool.flush(5.0)
    assert written(file_ledger) == [one.id]


def test_a_call_made_by_a_signal_handler_while_the_thread_is_started_does_not_wait_for_that(
    file_ledger: Ledger, open_spool: Callable[..., Spool], entry: NewEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, one, of_today = open_spool(), entry(), queues.of_today

    def handler(_number: int, _frame: Any) -> None:
        spool.track(one.id)
        spool.put(one, charge())

    def interrupted(inbox: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return of_today(inbox)

    before = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(queues, "of_today", interrupted)
    spool.start()
    signal.signal(signal.SIGUSR1, before)
    assert spool.flush(5.0)
    assert (written(file_ledger), spool.leases) == ([one.id], set())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_empty_and_works(file_ledger: Ledger, entry: NewEntry, open_desk: OpenDesk) -> None:
    desk = open_desk(file_ledger, {"N": "100 calls per day"})
    spool = desk.gate.spool
    file_ledger.reachable.clear()
    desk.call(entry())
    under_way = entry()
    admission = desk.admit(under_way)
    assert not spool.flush(0.1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child: whatever happens, it must not go on as a second pytest
        try:
            seen: dict[str, Any] = {"leases": len(spool.leases), "queued": spool.inbox.qsize(), "thread": spool._worker is not None}
            file_ledger.reachable.set()
            desk.call(entry())
            seen["flushed"] = spool.flush(10.0)
            seen["thread_after"] = spool._worker is not None and spool._worker.is_alive()
            os.write(write, json.dumps(seen).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        seen = json.loads(answer.read())
    os.waitpid(pid, 0)
    assert seen == {"leases": 0, "queued": 0, "thread": False, "flushed": True, "thread_after": True}
    assert len(written(file_ledger)) == 1, "the child settled its own call only"
    file_ledger.reachable.set()
    desk.finish(under_way, admission, used=1)
    assert spool.flush(10.0)
    assert len(written(file_ledger)) == 3
    assert desk.balance("N") == (3, 0)


def test_keys_that_cannot_be_changed_are_written_too(entry: NewEntry) -> None:
    one = entry()
    one.keys = MappingProxyType({"customer": "acme"})  # as a scope has them
    assert spill.decode(spill.encode(spill.Settlement(one, []))).entry.keys == {"customer": "acme"}


texts = st.text(max_size=10)
counts = st.none() | st.integers(0, 2**40)
usages = st.builds(Usage, counts, counts, counts, tools=st.none() | st.dictionaries(texts, st.integers(0, 9)), state=st.sampled_from(State))
costs = st.builds(Cost, counts, st.sampled_from(CostStatus), st.none() | texts)
holds = st.builds(
    Hold, texts, texts, texts, st.sampled_from(Unit), st.integers(), st.integers(), st.none() | st.integers(0, 10**9), st.booleans()
)
entries = st.builds(
    Entry, texts, st.floats(0, 1e10), st.sampled_from(Activity), texts, texts, st.none() | texts, keys=st.dictionaries(texts, texts),
    usage=usages, cost=costs, attempt=st.none() | st.integers(0, 9), duration=st.none() | st.floats(0, 1e6), superseded=st.booleans(),
)  # fmt: skip


@given(entries, st.lists(holds, max_size=3))
def test_settlements_survive_their_line_of_json(one: Entry, charges: list[Hold]) -> None:
    line = spill.encode(spill.Settlement(one, charges))
    assert "\n" not in line
    decoded = spill.decode(line)
    assert decoded == (one, charges)
    assert type(decoded.entry.activity) is Activity
    assert all(type(hold.unit) is Unit for hold in decoded.charges)


def test_an_inbox_of_another_class_is_exchanged_before_the_thread_waits_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after gevent's ``monkey.patch_all``, whose class is none of the standard library's either."""

    class Greens(queue.Queue[Any]):
        """Stands for gevent's."""

    spool = Spool(MemoryLedger())
    waiting = threading.Event()
    spool.inbox.put(waiting)
    monkeypatch.setattr(queue, "SimpleQueue", Greens)
    spool.start()
    assert waiting.wait(10)
    assert type(spool.inbox) is Greens
    spool.close(5)
