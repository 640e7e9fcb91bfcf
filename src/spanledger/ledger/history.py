"""Entries kept in memory: the newest in full, all older ones as sums by day."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.ledger import sums
from spanledger.ledger.rules import winner
from spanledger.ledger.tally import Tally
from spanledger.model import Total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanledger.model import Entry, Hold

_REMEMBERED = ("day", "model", "provider", "activity", "operation", "workflow", "plugin", "service")
"""By what the sums of older entries can still be grouped. The rest has too many values to keep for ever."""


class Kept(NamedTuple):
    """An entry and, while a later settlement may replace it, what it was charged to. ``swept``: the sweep wrote it."""

    entry: Entry
    charges: Sequence[Hold]
    swept: bool


@dataclass(slots=True)
class _Step:
    ended: dict[int, bool] = field(default_factory=dict)
    """Attempt -> whether it succeeded."""
    entry_ids: list[str] = field(default_factory=list)


class History:
    """Not safe for threads; the ledger locks. ``most``: how many entries, responses and steps are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._by_response: OrderedDict[str, Entry] = OrderedDict()
        self._steps: OrderedDict[tuple[str, str], _Step] = OrderedDict()
        self._older: dict[tuple[str | None, ...], Total] = {}
        self.tally = Tally()

    def get(self, entry_id: str) -> Kept | None:
        """The entry of this id, if it is among those kept."""
        return self._kept.get(entry_id)

    def put(self, kept: Kept) -> None:
        """Adds an entry, or replaces the one with its id."""
        entry = kept.entry
        if entry.attempt is not None and entry.execution is not None and entry.step is not None:
            self._put_in_step(entry, entry.execution, entry.step, entry.attempt)
        self.tally.added(entry, replaces=entry.id in self._kept)
        self._kept[entry.id] = kept
        if len(self._kept) > self._most:
            self._fold(self._kept.popitem(last=False)[1].entry)
        if entry.response_id is not None:
            known = self._by_response.get(entry.response_id)
            if known is None or known.id == entry.id or known.time <= entry.time:
                self._by_response[entry.response_id] = entry
                _bound(self._by_response, self._most)

    def end_step(self, execution: str, step: str, attempt: int, *, ok: bool) -> None:
        """See ``Ledger.end_step``."""
        record = self._step(execution, step)
        record.ended[attempt] = ok
        counts = winner(record.ended.items())
        for entry_id in record.entry_ids:
            kept = self._kept.get(entry_id)
            if kept and kept.entry.attempt in record.ended:
                before, kept.entry.superseded = kept.entry.superseded, kept.entry.attempt != counts
                if kept.entry.superseded and not before:
                    self.tally.superseded(kept.entry)

    def find_response(self, response_id: str) -> Entry | None:
        """The newest entry with this response id."""
        return self._by_response.get(response_id)

    def entries(self, since: float | None, until: float | None, execution: str | None, trace_id: str | None) -> list[Entry]:
        """Copies of the chosen entries among those kept, in the order of their start."""
        chosen = [
            replace(entry)
            for entry, _, _ in self._kept.values()
            if (since is None or entry.time >= since)
            and (until is None or entry.time < until)
            and (execution is None or entry.execution == execution)
            and (trace_id is None or entry.trace_id == trace_id)
        ]
        return sorted(chosen, key=lambda entry: entry.time)

    def older(self, since: float | None, until: float | None) -> list[Total]:
        """Sums of the entries no longer kept, for days that begin within the bounds."""
        return [
            total
            for total in self._older.values()
            if (since is None or _start(total) >= since) and (until is None or _start(total) < until)
        ]

    def _put_in_step(self, entry: Entry, execution: str, step: str, attempt: int) -> None:
        record = self._step(execution, step)
        if entry.id not in self._kept:
            record.entry_ids.append(entry.id)
        if attempt in record.ended:
            entry.superseded = attempt != winner(record.ended.items())

    def _step(self, execution: str, step: str) -> _Step:
        record = self._steps.setdefault((execution, step), _Step())
        _bound(self._steps, self._most)
        return record

    def _fold(self, entry: Entry) -> None:
        values = tuple(sums.value_of(entry, name) for name in _REMEMBERED)
        total = self._older.get(values)
        if total is None:
            total = self._older[values] = Total(dict(zip(_REMEMBERED, values, strict=True)))
        sums.add_entry(total, entry)


def _start(total: Total) -> float:
    return dt.datetime.fromisoformat(f"{total.group['day']}T00:00:00+00:00").timestamp()


def _bound(store: OrderedDict[Any, Any], most: int) -> None:
    if len(store) > most:
        store.popitem(last=False)
