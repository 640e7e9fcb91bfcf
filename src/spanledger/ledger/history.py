"""Entries kept in memory: the newest in full, all older ones as sums by day."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spanledger.ledger import sums
from spanledger.ledger.rules import winner
from spanledger.ledger.tally import Tally
from spanledger.model import Charge, Entry, Total

if TYPE_CHECKING:
    from spanledger.model import BookSum

_REMEMBERED = ("day", "model", "provider", "activity", "operation", "workflow", "plugin", "service")
"""By what the sums of older entries can still be grouped. The rest has too many values to keep for ever."""
_MANY = 256
"""Entries that may wait until they are summed up: the call that meets the last of them waits for all."""


Kept = tuple[Entry, Sequence[Charge], bool]
"""An entry; what it was charged to, while a later settlement may replace it; whether the sweep wrote it. Every call makes one."""


@dataclass(slots=True)
class _Step:
    ended: dict[int, bool] = field(default_factory=dict)
    """Attempt -> whether it succeeded."""
    entry_ids: list[str] = field(default_factory=list)


class History:
    """Not safe for threads; the ledger locks. ``most``: how many entries, responses and steps are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        """By the entries' ids; ``_MANY`` too many for a while."""
        self._waiting: deque[tuple[Entry, Kept | None]] = deque()
        """Entries put and not yet accounted for in what follows, with those that they replaced."""
        self._by_response: dict[str, Entry] = {}
        self._steps: OrderedDict[tuple[str, str], _Step] = OrderedDict()
        self._older: dict[tuple[str | None, ...], Total] = {}
        self._tally = Tally()

    def put(self, entry: Entry, charges: Sequence[Charge], there: Kept | None, *, swept: bool = False) -> None:
        """Adds an entry, or replaces the one with its id, ``there``."""
        if entry.attempt is not None and entry.execution is not None and entry.step is not None:
            self._put_in_step(entry, entry.execution, entry.step, entry.attempt)
        self.kept[entry.id] = (entry, charges, swept)
        waiting = self._waiting
        waiting.append((entry, there))
        if len(waiting) >= _MANY:
            self._catch_up()

    def end_step(self, execution: str, step: str, attempt: int, *, ok: bool) -> None:
        """See ``Ledger.end_step``."""
        self._catch_up()
        record = self._step(execution, step)
        record.ended[attempt] = ok
        counts = winner(record.ended.items())
        for entry_id in record.entry_ids:
            entry = self.kept[entry_id][0] if entry_id in self.kept else None
            if entry is not None and entry.attempt in record.ended:
                before, entry.superseded = entry.superseded, entry.attempt != counts
                if entry.superseded and not before:
                    self._tally.superseded(entry)

    def find_response(self, response_id: str) -> Entry | None:
        """The newest entry with this response id."""
        self._catch_up()
        return self._by_response.get(response_id)

    def sums(self) -> list[BookSum]:
        """See ``Ledger.sums``."""
        self._catch_up()
        return self._tally.sums()

    def entries(self, since: float | None, until: float | None, execution: str | None, trace_id: str | None) -> list[Entry]:
        """Copies of the chosen entries among those kept, in the order of their start."""
        self._catch_up()
        chosen = [
            replace(entry)
            for entry, _, _ in self.kept.values()
            if (since is None or entry.time >= since)
            and (until is None or entry.time < until)
            and (execution is None or entry.execution == execution)
            and (trace_id is None or entry.trace_id == trace_id)
        ]
        return sorted(chosen, key=lambda entry: entry.time)

    def older(self, since: float | None, until: float | None) -> list[Total]:
        """Sums of the entries no longer kept, for days that begin within the bounds."""
        self._catch_up()
        return [
            total
            for total in self._older.values()
            if (since is None or _start(total) >= since) and (until is None or _start(total) < until)
        ]

    def _put_in_step(self, entry: Entry, execution: str, step: str, attempt: int) -> None:
        record = self._step(execution, step)
        if entry.id not in self.kept:
            record.entry_ids.append(entry.id)
        if attempt in record.ended:
            entry.superseded = attempt != winner(record.ended.items())

    def _step(self, execution: str, step: str) -> _Step:
        record = self._steps.setdefault((execution, step), _Step())
        if len(self._steps) > self._most:
            self._steps.popitem(last=False)
        return record

    def _catch_up(self) -> None:
        """Sums and indexes what was put: when somebody asks, or enough of it waits, but not in every call."""
        while self._waiting:
            entry, there = self._waiting.popleft()
            if there is not None:
                self._forget_response(there[0])
            self._tally.added(entry, replaces=there is not None)
            self._index_response(entry)
        while len(self.kept) > self._most:
            oldest = self.kept.popitem(last=False)[1][0]
            self._forget_response(oldest)
            self._fold(oldest)

    def _index_response(self, entry: Entry) -> None:
        if entry.response_id is not None:
            known = self._by_response.get(entry.response_id)
            if known is None or known.time <= entry.time:
                self._by_response[entry.response_id] = entry

    def _forget_response(self, entry: Entry) -> None:
        if entry.response_id is not None and self._by_response.get(entry.response_id) is entry:
            del self._by_response[entry.response_id]

    def _fold(self, entry: Entry) -> None:
        values = tuple(sums.value_of(entry, name) for name in _REMEMBERED)
        total = self._older.get(values)
        if total is None:
            total = self._older[values] = Total(dict(zip(_REMEMBERED, values, strict=True)))
        sums.add_entry(total, entry)


def _start(total: Total) -> float:
    return dt.datetime.fromisoformat(f"{total.group['day']}T00:00:00+00:00").timestamp()
