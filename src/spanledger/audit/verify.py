"""Whether the chain of audit records is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spanledger.ledger import chain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spanledger.model import AuditRecord


class Verdict(NamedTuple):
    """What was found: how many records were read (up to the first that is broken), the newest hash among them, and what is wrong."""

    records: int
    head: str
    broken: int | None
    """Sequence number of the first record that does not fit; None if all fit."""
    noted: bool | None
    """Whether the hash that was noted earlier is among the records that were read; None if none was given."""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.broken is None and self.noted is not False


def verify(records: Iterable[AuditRecord], noted: str | None = None) -> Verdict:
    """Follows the chain from its first record on.

    The chain shows a record that was changed, put in or taken out. It cannot show that the newest records were taken off its end, or
    that all of it was written anew: for these, ``noted`` is a hash that was kept elsewhere and has to be found again.
    """
    watch = _Watch(records, noted)
    broken = chain.first_broken(watch)
    return Verdict(watch.count, watch.last.hash if watch.last else chain.START, broken, watch.found if noted else None)


class _Watch:
    """Passes the records on, and remembers what it saw; they may be too many to be kept."""

    def __init__(self, records: Iterable[AuditRecord], noted: str | None) -> None:
        self._records, self._noted = records, noted
        self.count, self.found = 0, False
        self.last: AuditRecord | None = None

    def __iter__(self) -> Iterator[AuditRecord]:
        for record in self._records:
            self.count, self.last = self.count + 1, record
            self.found = self.found or record.hash == self._noted
            yield record
