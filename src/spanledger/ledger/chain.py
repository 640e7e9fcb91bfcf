"""The chain of audit records: each hash covers the record before it, so that a change of an old record shows in all later ones."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from spanledger.model import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

START = "0" * 64
"""What the first record names as its predecessor."""


def link(sequence: int, time: float, key: str, text: str, previous: str) -> str:
    """The hash of a record: SHA-256 over all its fields, hexadecimal. Fields are joined as JSON, so that none can run into the next."""
    fields = json.dumps([sequence, time, key, text, previous], separators=(",", ":"), default=repr)
    return hashlib.sha256(fields.encode()).hexdigest()


def follow(last: AuditRecord | None, time: float, key: str, text: str) -> AuditRecord:
    """The record that comes after ``last`` (None: the first one)."""
    sequence, previous = (last.sequence + 1, last.hash) if last is not None else (1, START)
    return AuditRecord(sequence, time, key, text, previous, link(sequence, time, key, text, previous))


def first_broken(records: Iterable[AuditRecord]) -> int | None:
    """The sequence number of the first record whose number, predecessor or hash does not fit; None if the whole chain fits.

    ``records`` begin with the first one. Records cut off at the end leave no trace in the chain: keep a copy of the newest hash elsewhere.
    """
    previous, expected = START, 1
    for record in records:
        if record.sequence != expected or record.previous != previous or record.hash != link(*record[:5]):
            return record.sequence
        previous, expected = record.hash, expected + 1
    return None


class Audit:
    """The audit records of a ledger in memory, the newest ``most`` of them. Not safe for threads; the ledger locks."""

    def __init__(self, most: int) -> None:
        self._records: OrderedDict[str, AuditRecord] = OrderedDict()
        self._most = most
        self._last: AuditRecord | None = None

    def append(self, time: float, key: str, text: str) -> AuditRecord | None:
        """See ``Ledger.append_audit``."""
        if key in self._records:
            return None
        self._last = self._records[key] = follow(self._last, time, key, text)
        if len(self._records) > self._most:
            self._records.popitem(last=False)
        return self._last

    def after(self, sequence: int) -> list[AuditRecord]:
        """See ``Ledger.audit``."""
        return [record for record in self._records.values() if record.sequence > sequence]
