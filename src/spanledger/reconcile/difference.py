"""What differs about one entry, and a place on disk for a million of those."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from spanledger.ledger.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Kind(StrEnum):
    """How ledger and spans differ about an entry; the first that applies gives the reason."""

    MISSING_IN_LEDGER = "missing_in_ledger"
    UNKNOWN_IN_LEDGER = "unknown_in_ledger"
    """Nobody settled the call: its lease ran out and the sweep wrote it."""
    MISSING_IN_SPANS = "missing_in_spans"
    DOUBLED = "doubled"
    """Several spans count it: their amounts are added up more than once."""
    ACTIVITY_DIFFERS = "activity_differs"
    STATE_DIFFERS = "state_differs"
    TOKENS_DIFFER = "tokens_differ"
    COST_DIFFERS = "cost_differs"
    DELIVERED_TWICE = "delivered_twice"
    """The same span arrived again. It is counted once here, so this is no disagreement."""


HARMLESS = (Kind.DELIVERED_TWICE,)


@dataclass(slots=True)
class Difference:
    """One entry about which the sides differ."""

    id: str
    kinds: tuple[Kind, ...]
    ledger: Fact | None
    spans: list[Fact] = field(default_factory=list)
    """Every distinct span, in the order of their start."""
    deliveries: int = 0
    """How many spans arrived, repeated ones included."""
    position: int = 0
    """The entry's number among the ledger's entries of its service, in the order of their start."""
    number: int = 0
    """Where it lies in ``Differences``."""
    reason: str = ""

    @property
    def either(self) -> Fact:
        """The ledger's fact, else the first span's."""
        return self.ledger or self.spans[0]

    @property
    def disagrees(self) -> bool:
        """Whether the sides do not have the same numbers."""
        return any(kind not in HARMLESS for kind in self.kinds)


class Differences:
    """Differences in a SQLite file. One thread writes them all, then explains them, then reads them."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            """PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
            CREATE TABLE difference (number INTEGER PRIMARY KEY, kinds TEXT, service TEXT, time REAL, position INTEGER, value TEXT);
            CREATE TABLE reason (number INTEGER PRIMARY KEY, kind TEXT, text TEXT);
            BEGIN"""
        )
        self._fingerprint = 0
        self.count = self.disagreeing = 0
        self.by_kind: dict[Kind, int] = {}

    def add(self, one: Difference) -> None:
        """Adds a difference."""
        self.count += 1
        self.disagreeing += one.disagrees
        for kind in one.kinds:
            self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
        value = json.dumps([one.id, one.ledger, one.spans, one.deliveries])
        row = (",".join(one.kinds), one.either.service, one.either.time, one.position, value)
        self._db.execute("INSERT INTO difference (kinds, service, time, position, value) VALUES (?, ?, ?, ?, ?)", row)
        if one.disagrees:
            # A sum does not depend on the order in which the buckets came.
            self._fingerprint += int.from_bytes(hashlib.sha256(f"{row[0]} {value}".encode()).digest())

    @property
    def fingerprint(self) -> str:
        """The same for the same disagreements, whenever and in whatever window they are found."""
        return hashlib.sha256(str(self._fingerprint).encode()).hexdigest()[:32]

    def by_place(self) -> Iterator[Difference]:
        """All, service by service in the order of the ledger; those the ledger does not have come in the order of time."""
        return self._read("ORDER BY service, position, time")

    def by_time(self, most: int | None = None) -> Iterator[Difference]:
        """All, or the first, disagreements before what is harmless, in the order of time."""
        return self._read(f"ORDER BY kinds = '{Kind.DELIVERED_TWICE}', time, number LIMIT {-1 if most is None else int(most)}")

    def explain(self, reasons: Iterable[tuple[int, Kind, str]]) -> None:
        """Keeps reasons: number of the difference, its first kind, and a sentence."""
        self._db.executemany("INSERT OR REPLACE INTO reason VALUES (?, ?, ?)", reasons)

    def reasons(self) -> list[tuple[Kind, str, int]]:
        """Each reason with the number of entries it explains, most frequent first."""
        found = self._db.execute("SELECT kind, text, count(*) FROM reason GROUP BY kind, text ORDER BY 3 DESC, 1, 2 LIMIT 1000")
        return [(Kind(kind), text, count) for kind, text, count in found]

    def _read(self, order: str) -> Iterator[Difference]:
        sql = f"SELECT number, kinds, position, value, text FROM difference LEFT JOIN reason USING (number) {order}"  # noqa: S608  # constants
        for number, kinds, position, value, reason in self._db.execute(sql):
            id_, ledger, spans, deliveries = json.loads(value)
            yield Difference(
                id_,
                tuple(Kind(kind) for kind in kinds.split(",")),
                Fact(*ledger) if ledger else None,
                [Fact(*span) for span in spans],
                deliveries,
                position,
                number,
                reason or "",
            )

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def difference_json(one: Difference) -> dict[str, Any]:
    """A difference for programs."""
    return {
        "entry_id": one.id,
        "kinds": [str(kind) for kind in one.kinds],
        "disagrees": one.disagrees,
        "reason": one.reason,
        "ledger": _fact_json(one.ledger),
        "spans": [_fact_json(span) for span in one.spans],
        "deliveries": one.deliveries,
    }


def _fact_json(fact: Fact | None) -> dict[str, Any] | None:
    return {name: value for name, value in fact._asdict().items() if name != "id"} if fact else None


def moment(time: float) -> str:
    """A point in time for people, in UTC, to the second; what no clock can say is shown as a number."""
    try:
        return f"{dt.datetime.fromtimestamp(time, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time} s"
