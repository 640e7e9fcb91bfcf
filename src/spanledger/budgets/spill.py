"""Records as lines of JSON: what could not be written to the ledger before the process ended, and how it is read back."""

from __future__ import annotations

import json
import logging
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import astuple, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger import private
from spanledger.model import Activity, ActivityTotal, Charge, Cost, CostStatus, Entry, Execution, Hold, State, Unit, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger, Standing

log = logging.getLogger("spanledger")

_AMOUNT = 5


class Settlement(NamedTuple):
    """What ``Ledger.settle`` is to be called with."""

    entry: Entry
    charges: Sequence[Charge]

    def write(self, ledger: Ledger, *, wait: bool = True) -> list[Standing]:
        """Settles."""
        return ledger.settle(self.entry, self.charges, wait=wait)


class StepEnd(NamedTuple):
    """What ``Ledger.end_step`` is to be called with."""

    execution: str
    step: str
    attempt: int
    ok: bool

    def write(self, ledger: Ledger, *, wait: bool = True) -> None:
        """Ends the attempt."""
        ledger.end_step(self.execution, self.step, self.attempt, ok=self.ok, wait=wait)


class RunEnd(NamedTuple):
    """What ``Ledger.end_execution`` is to be called with."""

    run: Execution

    def write(self, ledger: Ledger, *, wait: bool = True) -> None:
        """Ends the run."""
        ledger.end_execution(self.run, wait=wait)


Record = Settlement | StepEnd | RunEnd
"""What is to be written to the ledger. Written twice, it changes nothing the second time."""


def encode(record: Record) -> str:
    """One line of JSON: an object with the record's fields by their names."""
    told = record._asdict()
    if isinstance(record, Settlement):
        told["charges"] = [_from_charge(hold, amount) for hold, amount in record.charges]
    return json.dumps(told, default=_plain, separators=(",", ":"))


def decode(line: str | bytes) -> Record:
    """The record of one line.

    Raises:
        ValueError, KeyError, TypeError: the line is not what ``encode`` writes.
    """
    record = json.loads(line)
    if "run" in record:
        return RunEnd(_to_execution(record["run"]))
    if "step" in record:
        return StepEnd(*(record[name] for name in StepEnd._fields))
    return _to_settlement(record)


# A newer version may have written the line, with fields that this version has no column for. They are dropped.


def _to_execution(raw: dict[str, Any]) -> Execution:
    totals = {activity: ActivityTotal(*numbers[: len(ActivityTotal._fields)]) for activity, numbers in raw["totals"].items()}
    return Execution(**{**_known(Execution, raw), "totals": totals})


def _to_settlement(record: dict[str, Any]) -> Settlement:
    raw, usage, cost = record["entry"], _known(Usage, record["entry"]["usage"]), _known(Cost, record["entry"]["cost"])
    usage["state"], cost["status"] = State(usage["state"]), CostStatus(cost["status"])
    known = {**_known(Entry, raw), "activity": Activity(raw["activity"]), "usage": Usage(**usage), "cost": Cost(**cost)}
    return Settlement(Entry(**known), [_to_charge(charge) for charge in record["charges"]])


def _from_charge(hold: Hold, amount: int) -> list[Any]:
    """The fields of the hold with the amount after its limit: the order in which older versions wrote and read them."""
    told = list(astuple(hold))
    return [*told[:_AMOUNT], amount, *told[_AMOUNT:]]


def _to_charge(told: Sequence[Any]) -> Charge:
    account, budget, scope, unit, limit, amount, *more = told
    return Hold(account, budget, scope, Unit(unit), limit, *more[: len(fields(Hold)) - _AMOUNT]), amount


def _known(kind: type[Any], raw: dict[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in _names(kind) if name in raw}


def _names(kind: type[Any]) -> list[str]:
    """The fields that are written: all but those that no ledger keeps, which versions before them could not read either."""
    return [field.name for field in fields(kind) if field.name not in ("delegated", "parts")]


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {name: getattr(value, name) for name in _names(type(value))}
    return dict(value) if isinstance(value, Mapping) else str(value)


class Folder:
    """The spill files of one ledger, in a folder that other ledgers may use too. ``path`` None: everything goes to the log."""

    def __init__(self, path: Path | None, ledger_url: str) -> None:
        self._path = path
        self._prefix = f"spill-{zlib.crc32(ledger_url.encode()):08x}"
        self._stuck: set[Path] = set()
        """Files that can be neither settled nor put aside."""

    def files(self) -> list[Path]:
        """What ended processes left, oldest name first."""
        found = self._path.glob(f"{self._prefix}-*.jsonl") if self._path is not None else ()
        return sorted(path for path in found if path not in self._stuck)

    def put_aside(self, path: Path, error: Exception) -> None:
        """Leaves a file that cannot be settled to people, so that it is not tried again and again."""
        aside = path.with_suffix(".unsettled")
        try:
            path.rename(aside)
        except OSError:
            self._stuck.add(path)
            aside = path
        log.error("what an ended process left cannot be written to the ledger (%r); it stays in %s", error, aside)

    def write(self, records: Sequence[Record]) -> None:
        """Writes a file, whole or not at all; if that fails, each record goes to the log."""
        if records and not self._written(records):
            write_to_log(records)

    def _written(self, records: Sequence[Record]) -> bool:
        if self._path is None:
            return False
        try:
            self._write(self._path, records)
        except OSError as error:
            log.error("cannot write what is not in the ledger to %s (%s); it follows in the log", self._path, error.strerror)
            return False
        return True

    def _write(self, folder: Path, records: Sequence[Record]) -> None:
        private.make_folder(folder)
        # The time keeps a later process with the same pid from replacing the file; the rename, a reader from seeing half of it.
        path = folder / f"{self._prefix}-{os.getpid()}-{time.time_ns()}.jsonl"
        unfinished = path.with_suffix(".tmp")
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.writelines(encode(record) + "\n" for record in records)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)  # on a full disk it would lie there for ever, and nobody would read it
            raise


def write_to_log(records: Iterable[Record]) -> None:
    """The last resort: each record as a CRITICAL log record with its line of JSON, so that nothing is lost silently."""
    for record in records:
        log.critical("not in the ledger: %s", encode(record))


def read(path: Path) -> Iterator[Record]:
    """The records of a spill file. A line that cannot be read goes to the log.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = decode(line)
            except (ValueError, KeyError, TypeError):
                text = line.decode(errors="backslashreplace").rstrip()
                log.critical("not in the ledger, and %s:%d cannot be read: %s", path, number, text)
            else:
                yield record
