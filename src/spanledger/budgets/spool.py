"""The one background thread of the budgets: writes what could not be written at once (settlements, ends of steps and of workflow
runs), keeps leases alive, sweeps dead ones.

The order of records is kept. Memory is bounded: over ``bound`` waiting records (about 2 kB each) the oldest go to the log as JSON.
A forked child starts with an empty spool and a thread of its own; the parent writes what it queued.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from spanledger import fork, interrupts, queues
from spanledger.budgets import spill
from spanledger.budgets.spill import Record, Settlement
from spanledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from spanledger.budgets.spill import RunEnd, StepEnd
    from spanledger.ledger.ledger import Ledger, Standing
    from spanledger.model import Charge, Entry

log = logging.getLogger("spanledger")
BOUND = 10_000
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 5.0
_SHORTEST_ROUND, _LONGEST_ROUND = 0.05, 3_600.0
_GRACE = 0.5
"""Seconds in which a thread that does not hang in the ledger surely ends, so that it takes nothing more from the queue."""


class Spool:
    """Queues records for the ledger and watches over leases. All methods may be called from any thread, but only ``put`` from a finaliser.

    Args:
        ledger: where records go.
        state_dir: where a spill file is written at exit, and where those of ended processes are found. None, or a ledger that
            ends with the process: the log takes what is left.
        ledger_url: tells the spill files of this ledger from those of others in the same folder; as ``ledger.open.whole`` gives it.
        lease_seconds: leases of calls under way are renewed, and expired ones swept, three times in this time.
        bound: how many records may wait in memory.
        clock: seconds since the epoch, for the ledger; waiting uses the monotonic clock.
    """

    def __init__(  # noqa: PLR0913  # settings, each by its name
        self,
        ledger: Ledger,
        state_dir: Path | None = None,
        *,
        ledger_url: str = "",
        lease_seconds: float = 300.0,
        bound: int = BOUND,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger, self.lease_seconds, self.bound, self.clock = ledger, lease_seconds, bound, clock
        self.spills = spill.Folder(state_dir if ledger.shared else None, ledger_url)
        self.settled: Callable[[Entry, Sequence[Standing]], None] = lambda _entry, _standings: None
        """Told of each settlement that the thread made; set by the gate."""
        self.closed = False
        """Nobody will close it again: what outlived its installation has a thread only while there is something to write."""
        self.forget()
        _spools.add(self)

    def forget(self) -> None:
        """Becomes empty, with no thread: in a forked child, where the thread is missing and any lock may be held."""
        self.inbox: queue.SimpleQueue[Record | threading.Event | None] = queue.SimpleQueue()
        self.unwritten: set[int] = set()
        """By ``id``, the records that were queued and are not in the ledger yet, wherever between the queue and the ledger they are."""
        self.leases: set[str] = set()
        self._worker: _Worker | None = None
        self._starting = threading.Lock()

    def put(self, entry: Entry, charges: Sequence[Charge]) -> None:
        """Queues a settlement. Safe in a finaliser: ``SimpleQueue.put`` is reentrant, and nothing else happens that could wait."""
        self._queue(Settlement(entry, charges))

    def _queue(self, record: Record) -> None:
        self.unwritten.add(id(record))
        self.inbox.put(record)

    def end(self, record: StepEnd | RunEnd, *, wait: bool = True) -> None:
        """Writes the end of a step's attempt or of a run; what the ledger does not take is queued, and so is what comes behind that.

        With ``wait=False`` a busy ledger is not waited for.

        Raises:
            Exception: what is wrong with the ledger other than that it cannot be reached; the record is queued nevertheless.
        """
        written = False
        try:
            if not self.is_behind():
                record.write(self.ledger, wait=wait)
                written = True
        except LedgerError:
            pass  # the thread meets it too, and says so
        finally:
            if not written:
                self._queue(record)
                self.start()

    def is_behind(self) -> bool:
        """Whether something queued is not in the ledger yet."""
        return bool(self.unwritten)

    def track(self, entry_id: str) -> None:
        """Renews this call's lease until ``untrack``; starts the thread."""
        self.leases.add(entry_id)
        if self._worker is None and not self.closed:
            self.start()

    def untrack(self, entry_id: str) -> None:
        """The call is settled or given back."""
        self.leases.discard(entry_id)

    def start(self) -> None:
        """Starts the thread if it does not run."""
        if not self._starting.acquire(blocking=False):
            if interrupts.is_interrupted(self):  # it is started when the signal handler is done
                return
            self._starting.acquire()
        try:
            if self._worker is not None:
                return
            self.inbox = queues.of_today(self.inbox)
            worker = self._worker = _Worker(self)  # first, so that it is known even if a signal handler raises here
        finally:
            self._starting.release()
        try:
            worker.start()  # without the lock: under gevent another greenlet that waited for it would block the hub
        except RuntimeError:  # the interpreter is shutting down; close() writes what is queued
            self._worker = None

    def retire(self, worker: _Worker) -> bool:
        """Whether the thread of a closed spool may end: nothing is left to write."""
        with self._starting:
            is_idle = not worker.waiting and self.inbox.empty()
            if is_idle and self._worker is worker:
                self._worker = None
            return is_idle

    def flush(self, timeout: float) -> bool:
        """Waits until all that was queued before is written, trying at once; False if that took longer than ``timeout`` seconds."""
        if self._worker is None and self.inbox.empty():
            return True
        done = threading.Event()
        self.inbox.put(done)
        self.start()
        return (self._worker is not None and done.wait(timeout)) or done.is_set()

    def close(self, timeout: float) -> None:
        """Writes what is queued; what the ledger has not taken after ``timeout`` seconds goes to a spill file, else to the log.

        Leases of calls under way are no longer renewed. A closed spool can be used again; it starts anew when it is given something.
        """
        ends = time.monotonic() + timeout
        self.closed = True
        self.flush(timeout)
        with self._starting:
            worker, self._worker = self._worker, None
        left: list[Record | threading.Event | None] = []
        if worker is not None:
            worker.stopping = True
            self.inbox.put(None)
            if worker.is_alive():
                worker.join(max(_GRACE, ends - time.monotonic()))
            left += worker.waiting  # one that still hangs in the ledger may write its first after all, which changes nothing
        left += drain(self.inbox)
        self.unwritten.difference_update(map(id, left))
        self.spills.write([item for item in left if isinstance(item, Record)])

    def replay(self, path: Path) -> int:
        """Writes the records of a spill file to the ledger and removes it; returns how many. Those that are there stay as they are.

        Raises:
            LedgerError: the ledger cannot be reached; the file stays.
            OSError: the file cannot be read or removed.
        """
        count = 0
        for record in spill.read(path):
            record.write(self.ledger)
            count += 1
        path.unlink(missing_ok=True)
        return count


class _Worker(threading.Thread):
    """The thread of a spool. ``waiting`` is its own: others only copy it."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(name="spanledger-spool", daemon=True)
        self.stopping = False
        self.waiting: deque[Record | threading.Event] = deque()
        self._spool, self._ledger = spool, spool.ledger

    def run(self) -> None:
        round_seconds = min(max(self._spool.lease_seconds / 3, _SHORTEST_ROUND), _LONGEST_ROUND)  # threads cannot wait for years
        tend_at = retry_at = pause = 0.0
        while not self.stopping:
            due = min(tend_at, retry_at) if self.waiting else tend_at
            if self._receive(due - time.monotonic()):
                retry_at = 0.0
            if self.waiting and time.monotonic() >= retry_at:
                pause = 0.0 if self._write_waiting(quiet=pause > 0) else min(max(2 * pause, _FIRST_PAUSE), _LAST_PAUSE)
                retry_at = time.monotonic() + pause
            if not self.stopping and time.monotonic() >= tend_at:
                self._tend()
                tend_at = time.monotonic() + round_seconds
            if self._spool.closed and self._spool.retire(self):
                return

    def _receive(self, seconds: float) -> bool:
        """Takes what was put, waiting for the first; True if somebody waits for a flush."""
        items = drain(self._spool.inbox, max(0.0, seconds))
        self.waiting.extend(item for item in items if item is not None)
        while len(self.waiting) > self._spool.bound:
            oldest = self.waiting.popleft()
            self._spool.unwritten.discard(id(oldest))
            if isinstance(oldest, Record):
                self._give_up(oldest)
            else:
                oldest.set()
        return any(isinstance(item, threading.Event) for item in items)

    def _write_waiting(self, *, quiet: bool) -> bool:
        """Writes in order; False if the ledger cannot be reached."""
        while self.waiting and not self.stopping:
            first = self.waiting[0]
            if isinstance(first, Record):
                try:
                    self._write(first)
                except LedgerError as error:
                    if not quiet:
                        log.warning("the ledger cannot be reached (%s); %d records wait", error, len(self.waiting))
                    return False
                except Exception:
                    log.exception("a record cannot be written")
                    self._give_up(first)
            else:
                first.set()
            self._spool.unwritten.discard(id(self.waiting.popleft()))
        return True

    def _write(self, record: Record) -> None:
        if not isinstance(record, Settlement):
            record.write(self._ledger)
            return
        standings = record.write(self._ledger)
        self._spool.untrack(record.entry.id)
        self._spool.settled(record.entry, standings)

    def _give_up(self, record: Record) -> None:
        if isinstance(record, Settlement):
            self._spool.untrack(record.entry.id)
        spill.write_to_log([record])

    def _tend(self) -> None:
        """Writes what ended processes left, renews our leases and then sweeps: in this order, so that neither what was spilled
        nor our own calls are swept when the ledger has been away for longer than a lease."""
        try:
            self._write_left()
            now = self._spool.clock()
            self._ledger.renew(list(self._spool.leases), now + self._spool.lease_seconds)
            swept = self._ledger.sweep(now)
            if swept:
                log.warning("%d calls were never settled; they are booked by their estimates, as unknown", len(swept))
        except (LedgerError, OSError) as error:
            log.warning("cannot tend the ledger's leases: %s", error)
        except Exception:
            log.exception("cannot tend the ledger's leases")

    def _write_left(self) -> None:
        """What ended processes left. A file that cannot be written must not keep us from the rest."""
        for path in self._spool.spills.files():
            try:
                log.warning("wrote %d records left by an ended process in %s", self._spool.replay(path), path)
            except LedgerError:
                raise
            except FileNotFoundError:  # another process was faster
                continue
            except Exception as error:  # noqa: BLE001  # see above
                self._spool.spills.put_aside(path, error)


def drain(inbox: queue.SimpleQueue[Record | threading.Event | None], seconds: float = 0.0) -> list[Record | threading.Event | None]:
    """All that is in the queue, waiting up to ``seconds`` for the first."""
    items: list[Record | threading.Event | None] = []
    try:
        items.append(inbox.get(timeout=seconds) if seconds else inbox.get_nowait())
        while True:
            items.append(inbox.get_nowait())
    except queue.Empty:
        return items


_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in list(_spools):
        spool.forget()


fork.in_child(_after_fork)
