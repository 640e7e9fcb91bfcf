"""Entries and executions as rows of a SQLite table, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from spanledger.errors import LedgerDamaged
from spanledger.model import Activity, ActivityTotal, Cost, CostStatus, Entry, Execution, State, Usage
from spanledger.outside import sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from spanledger.model import Charge

COLUMNS = (
    "id", "time", "activity", "provider", "operation", "model", "response_model", "response_id", "plugin", "trace_id", "span_id", "service",
    "workflow", "execution", "step", "attempt", "customer", "user", "agent", "campaign", "session", "other_keys",
    "input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning", "other_usage", "usage_state",
    "nano_usd", "cost_status", "price_source", "price_version", "price_model", "price_date",
    "duration", "first_chunk", "finish_reason", "error", "superseded",
)  # fmt: skip
"""The columns of ``entry`` that hold an Entry, in their order."""

_USAGE_STATE = COLUMNS.index("usage_state")

KEYS = ("customer", "user", "agent", "campaign", "session")
"""Scope keys with a column of their own, because reports group by them; all others share ``other_keys``."""

_OTHER_USAGE = ("input_audio", "output_audio", "input_image", "output_image", "cache_read_audio", "cache_read_image", "tools")
_get_other_usage, _NO_OTHER_USAGE = attrgetter(*_OTHER_USAGE), (None,) * len(_OTHER_USAGE)
_MOST = 2**53 - 1
"""Larger tokens and amounts of one entry are cut: sums of them would leave the 64 bits of a SQLite integer, and fail."""

Row = tuple[Any, ...]
R = TypeVar("R")
T = TypeVar("T")

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
"""Compact JSON, not escaped: SQLite compares and returns its strings as they are."""
decode = json.JSONDecoder().decode


def from_file(convert: Callable[[R], T]) -> Callable[[R], T]:
    """What is in the file, as a value; raises LedgerDamaged where it means nothing here: it may be damaged, or others write into it."""

    @wraps(convert)
    def converted(row: R) -> T:
        try:
            return convert(row)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            msg = (
                f"the ledger has a row that cannot be read ({type(error).__name__}: {error}): it is damaged, or was written by a newer "
                "version of Spanledger; restore it from a backup, or upgrade spanledger"
            )
            raise LedgerDamaged(msg) from error

    return converted


def from_entry(entry: Entry) -> Row:
    """The values of ``COLUMNS``."""
    usage, cost = entry.usage, entry.cost
    numbers: tuple[int | None, ...] = (
        usage.input, usage.output, usage.cache_read, usage.cache_write, usage.cache_write_1h, usage.reasoning, cost.nano_usd,
    )  # fmt: skip
    if max(filter(None, numbers), default=0) > _MOST:
        numbers = tuple([None if number is None else min(number, _MOST) for number in numbers])
    return (
        entry.id, entry.time, str(entry.activity), entry.provider, entry.operation, entry.model, entry.response_model, entry.response_id,
        entry.plugin, entry.trace_id, entry.span_id, entry.service, entry.workflow, entry.execution, entry.step, entry.attempt,
        *_from_keys(entry.keys),
        *numbers[:-1], _from_other_usage(usage), str(usage.state),
        numbers[-1], str(cost.status), cost.source, cost.version, cost.model, cost.effective_from,
        entry.duration, entry.time_to_first_chunk, entry.finish_reason, entry.error, int(entry.superseded),
    )  # fmt: skip


@from_file
def to_entry(row: Sequence[Any]) -> Entry:
    """The entry whose row this is. Drafts written before a column was added are shorter."""
    value: dict[str, Any] = dict.fromkeys(COLUMNS) | dict(zip(COLUMNS, row, strict=False))
    return Entry(
        activity=Activity(value["activity"]),
        keys={key: value[key] for key in KEYS if value[key] is not None} | decode(value["other_keys"] or "{}"),
        usage=_to_usage(value),
        cost=Cost(
            value["nano_usd"],
            CostStatus(value["cost_status"]),
            value["price_source"],
            value["price_version"],
            value["price_model"],
            value["price_date"],
        ),
        time_to_first_chunk=value["first_chunk"],
        superseded=bool(value["superseded"]),
        **{name: value[name] for name in _SAME_NAME},
    )


_SAME_NAME = (
    "id", "time", "provider", "operation", "model", "response_model", "response_id", "plugin", "trace_id", "span_id", "service", "workflow",
    "execution", "step", "attempt", "duration", "finish_reason", "error",
)  # fmt: skip


def _from_keys(keys: Mapping[str, str]) -> Row:
    if not keys:
        return (None, None, None, None, None, None)
    others = {key: value for key, value in keys.items() if key not in KEYS}
    return (*map(keys.get, KEYS), encode(others) if others else None)


def _from_other_usage(usage: Usage) -> str | None:
    values = _get_other_usage(usage)
    if values == _NO_OTHER_USAGE and not usage.clamped:
        return None
    others = {name: value for name, value in zip(_OTHER_USAGE, values, strict=True) if value is not None}
    return encode({**others, "clamped": True} if usage.clamped else others)


def _to_usage(value: Mapping[str, Any]) -> Usage:
    for name in ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning", "nano_usd"):
        if type(value[name]) not in {int, type(None)}:
            msg = f"{name} of call {value['id']!r} is {value[name]!r}"
            raise TypeError(msg)
    return Usage(
        value["input_tokens"],
        value["output_tokens"],
        value["cache_read"],
        value["cache_write"],
        value["cache_write_1h"],
        value["reasoning"],
        state=State(value["usage_state"]),
        **decode(value["other_usage"] or "{}"),
    )


def from_execution(execution: Execution) -> Row:
    """The row of ``execution``."""
    return (
        execution.id,
        execution.workflow,
        execution.started,
        execution.ended,
        execution.status,
        encode(dict(execution.keys)),
        encode(dict(execution.totals)),
        execution.error,
    )


@from_file
def to_execution(row: Sequence[Any]) -> Execution:
    """The execution whose row this is."""
    id_, workflow, started, ended, status, keys, totals, error = row
    sums = {activity: ActivityTotal(*numbers) for activity, numbers in decode(totals).items()}
    return Execution(id_, workflow, started, ended, status, decode(keys), sums, error)


def marks(count: int) -> str:
    """Placeholders for ``count`` values."""
    return ",".join("?" * count)


def sound_row(row: Row) -> Row:
    """The row in storable text and numbers."""
    return tuple(value if value is None or isinstance(value, (int, float)) else sound(value) for value in row)


def sound_charges(charges: Iterable[Charge]) -> list[Charge]:
    """The charges in storable text."""
    return [
        (replace(hold, account=sound(hold.account), budget=sound(hold.budget), scope=sound(hold.scope)), amount) for hold, amount in charges
    ]


@from_file
def to_unknown(draft: str) -> Row:
    """A lease's draft as the sweep writes it: the estimate stays, but nobody knows what was really used."""
    row = decode(draft)[: len(COLUMNS)]  # a newer version may have written more
    unknown = (*row[:_USAGE_STATE], State.UNKNOWN.value, *row[_USAGE_STATE + 1 :], *[None] * (len(COLUMNS) - len(row)))
    to_entry(unknown)  # it must be one
    return unknown


@from_file
def to_held(holds: str) -> list[tuple[str, int]]:
    """What a lease holds: accounts and amounts."""
    return [(str(account), int(amount)) for account, amount in decode(holds)]
