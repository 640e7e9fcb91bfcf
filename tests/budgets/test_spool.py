"""The background thread: order, retry, leases, the end of the process and forks."""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from spooled import Logged, NewEntry, OpenDesk, charge, spill_files, written

from spanledger import queues
from spanledger.budgets import spill
from spanledger.budgets import spool as spools
from spanledger.budgets.spool import Spool
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Execution, State, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_settles_in_order_and_says_so(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, told = open_spool(), []
    spool.settled = lambda entry, standings: told.append((entry.id, standings[0][1]))
    entries = [entry() for _ in range(5)]
    for one in entries:
        spool.put(one, charge())
    assert spool.flush(5.0)
    assert told == [(one.id, 10 * number) for number, one in enumerate(entries, 1)]
    assert spool.flush(5.0), "an empty spool is flushed at once"


def test_is_behind_until_all_is_written_wherever_it_is(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool = open_spool()
    assert not spool.is_behind()
    spool.put(entry(), charge())
    (taken,) = spools.drain(spool.inbox)  # as the thread does, before it has put it anywhere
    assert spool.is_behind()
    spool.inbox.put(taken)
    assert spool.flush(5.0)
    assert not spool.is_behind()
    file_ledger.reachable.clear()
    spool.put(entry(), charge())
    assert not spool.flush(0.1)
    assert spool.is_behind()
    spool.close(0.1)
    assert not spool.is_behind(), "it is in a spill file, for another process"


def test_keeps_what_the_ledger_does_not_take_and_tries_again(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
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
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, monkeypatch: pytest.MonkeyPatch
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
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, logged: Logged
) -> None:
    spool, bad, good = open_spool(), entry("poison"), entry()
    spool.put(bad, charge())
    spool.put(good, charge())
    assert spool.flush(5.0)
    assert written(file_ledger) == [good.id]
    assert [settlement.entry.id for settlement in logged()] == [bad.id]


def test_over_the_bound_the_oldest_go_to_the_log(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, logged: Logged, tmp_path: Path
) -> None:
    spool, entries = open_spool(bound=4), [entry() for _ in range(9)]
    file_ledger.reachable.clear()
    for one in entries:
        spool.put(one, charge())
    assert not spool.flush(0.2)
    spool.close(0.2)
    dropped = [settlement.entry.id for settlement in logged()]
    kept = [settlement.entry.id for path in spill_files(tmp_path) for settlement in spill.read(path)]
    assert dropped + kept == [one.id for one in entries]
    assert 2 <= len(kept) <= 4


def test_leases_are_renewed_while_calls_are_under_way(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, running, ended = open_spool(lease_seconds=0.15, clock=lambda: 1000.0), entry(), entry()
    for one in (running, ended):
        file_ledger.reserve(one, [], expires=1000.0)
        spool.leases.add(one.id)
    spool.leases.discard(ended.id)
    spool.start()  # only now: a renewal before would be of both
    assert file_ledger.renewed.wait(5.0)
    assert file_ledger.renewals[-1] == ({running.id}, 1000.15)
    assert [swept.id for swept in file_ledger.sweep(1000.1)] == [ended.id]


def test_a_lease_of_centuries_stops_nothing(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool = open_spool(lease_seconds=1e11)
    spool.start()
    assert file_ledger.swept.wait(5.0)
    spool.put(one := entry(), [])
    assert spool.flush(5.0)
    assert list(file_ledger.entries()) == [one]


def test_expired_leases_are_swept_at_the_start(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
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


def test_calls_under_way_are_renewed_before_the_sweep(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    mine = entry()
    file_ledger.reserve(mine, [], expires=999.0)  # the ledger was away for longer than the lease
    spool = open_spool(clock=lambda: 1000.0)
    spool.track(mine.id)
    assert file_ledger.swept.wait(5.0)
    assert (written(file_ledger), file_ledger.open_leases()) == ([], 1)


def test_a_closed_spool_starts_anew(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, one, two = open_spool(), entry(), entry()
    spool.close(1.0)
    spool.put(one, charge())
    spool.close(5.0)
    assert written(file_ledger) == [one.id]
    spool.put(two, charge())
    assert spool.flush(5.0)
    assert written(file_ledger) == [one.id, two.id]


def test_put_works_in_a_finaliser_whatever_the_thread_holds(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
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
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, monkeypatch: pytest.MonkeyPatch
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
def test_a_forked_child_starts_empty_and_works(file_ledger: Any, entry: NewEntry, open_desk: OpenDesk) -> None:
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


def test_who_starts_the_thread_while_it_is_being_started_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under gevent, where a thread that waited would stop the one that it waits for."""
    spool, done, start_thread = Spool(MemoryLedger()), [], threading.Thread.start

    def start(thread: threading.Thread) -> None:
        other = threading.Thread(target=spool.start, daemon=True)
        start_thread(other)
        other.join(5)
        done.append(not other.is_alive())
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    spool.start()
    assert done == [True]
    spool.close(5)


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


def test_what_cannot_be_stored_at_all_does_not_look_like_a_ledger_that_is_away(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, caplog: pytest.LogCaptureFixture
) -> None:
    spool, one = open_spool(), entry()
    nameless: Any = None  # the table takes no such workflow
    with pytest.raises(sqlite3.IntegrityError):
        spool.end(spill.RunEnd(Execution("run", nameless, 1.0, 2.0, "completed")))
    spool.put(one, charge())
    assert spool.flush(5.0)
    assert written(file_ledger) == [one.id]
    assert 'not in the ledger: {"run":{"id":"run"' in caplog.text
    assert "cannot be reached" not in caplog.text


def test_a_call_that_outlives_its_installation_leaves_no_thread_and_is_in_the_books(
    file_ledger: Any, entry: NewEntry, open_desk: OpenDesk
) -> None:
    desk = open_desk(file_ledger, {"N": "100 calls per day"})
    desk.gate.spool.close(5.0)
    desk.call(entry())
    assert desk.gate.spool._worker is None
    late = entry()
    admission = desk.admit(late)
    file_ledger.reachable.clear()
    desk.finish(late, admission, used=1)
    worker = desk.gate.spool._worker
    assert worker is not None, "what could not be written waits for its turn"
    file_ledger.reachable.set()
    assert desk.gate.spool.flush(5.0)
    assert len(written(file_ledger)) == 2
    worker.join(5.0)
    assert desk.gate.spool._worker is None


def test_the_lease_of_a_call_that_is_given_up_is_not_renewed(file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry) -> None:
    spool, bad, running = open_spool(), entry("poison"), entry()
    spool.track(bad.id)
    spool.track(running.id)
    spool.put(bad, charge())
    assert spool.flush(5.0)
    assert spool.leases == {running.id}


def test_what_went_to_the_log_is_not_waited_for(
    file_ledger: Any, open_spool: Callable[..., Spool], entry: NewEntry, logged: Logged
) -> None:
    spool, entries = open_spool(bound=4), [entry() for _ in range(9)]
    for one in entries:
        spool.put(one, charge())
    assert spool.is_behind()
    assert spool.flush(5.0)
    assert logged(), "the thread met more than it may keep"
    assert not spool.is_behind()


def test_a_call_seen_afterwards_starts_the_thread(file_ledger: Any, entry: NewEntry, open_desk: OpenDesk) -> None:
    """It may be the only one of its process, and what others left is to be swept."""
    desk = open_desk(file_ledger, {})
    desk.gate.settle_unreserved(entry(usage=Usage(4, 2)))
    assert file_ledger.swept.wait(5.0)
