"""Random books and random damage: exactly the damage is found, and the sums are what adding up gives."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.model import Activity, Usage
from spanledger.telemetry import semconv as s

KINDS = (
    "missing_in_spans", "missing_in_ledger", "doubled", "tokens_differ", "cost_differs", "state_differs", "activity_differs",
    "unknown_in_ledger", "delivered_twice",
)  # fmt: skip


def damage(books: Any, entry: Any, span: Any, kind: str) -> list[Any]:
    """Books the entry and returns its spans, so that they differ in this way."""
    if kind == "unknown_in_ledger":
        books.kill(entry)
        return []
    if kind != "missing_in_ledger":
        books.book(entry)
    changed = {
        "tokens_differ": {s.REASONING_TOKENS: 31},
        "cost_differs": {s.COST_NANO_USD: None},
        "state_differs": {s.USAGE_STATE: "unknown"},
        "activity_differs": {s.ACTIVITY: "classification"},
    }
    copies = {"missing_in_spans": [], "doubled": [span, span.but(span_id="f" * 16)], "delivered_twice": [span] * 3}
    return copies.get(kind, [span.but(a=changed.get(kind, {}))])


def entries(make: Any, count: int, chance: random.Random) -> list[Any]:
    """Calls of all sorts."""
    made = []
    for number in range(count):
        fields: dict[str, Any] = {"service": chance.choice(["app", "web", None]), "time": 1_790_000_000.0 + chance.randrange(10**5)}
        sort = chance.randrange(5)
        if sort == 0:
            fields |= {"activity": Activity.PLUGIN, "plugin": "search", "usage": Usage(chance.randrange(900), chance.randrange(900))}
        elif sort == 1:
            fields |= {"state": "estimated", "nano": None}
        else:
            fields |= {"input": chance.randrange(10**6), "output": chance.randrange(10**6), "nano": chance.randrange(10**12)}
        made.append(make(number, **fields))
    return made


def applicable(kind: str, entry: Any) -> bool:
    if kind == "tokens_differ":
        return entry.plugin is None
    return kind != "cost_differs" or entry.cost.nano_usd is not None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 120), st.lists(st.sampled_from(KINDS), max_size=25), st.randoms(use_true_random=False))
def test_exactly_the_damage_is_found(new_books: Any, call: Any, span: Any, count: int, kinds: list[str], chance: random.Random) -> None:
    books, calls = new_books(), entries(call, count + len(kinds), chance)
    where = dict(zip(chance.sample(range(len(calls)), len(kinds)), kinds, strict=True))
    where = {number: kind for number, kind in where.items() if applicable(kind, calls[number])}
    exported: list[Any] = []
    for number, entry in enumerate(calls):
        if number in where:
            exported += damage(books, entry, span(entry), where[number])
        else:
            books.book(entry)
            exported.append(span(entry))
    undamaged = call(10**6)  # neither side is ever empty
    books.book(undamaged)
    exported.append(span(undamaged))
    chance.shuffle(exported)
    books.export(*exported, per_line=chance.randrange(1, 40))

    found = books.compare()

    assert found.kinds == {calls[number].id: [kind] for number, kind in where.items()}
    assert all(one["reason"] for one in found.differences.values())
    assert found.agrees == (set(where.values()) <= {"delivered_twice"})
    booked = sum(total.calls for total in books.ledger.totals())
    assert sum(line[0] for (_, quantity), line in found.lines.items() if quantity == "operations") == booked
    distinct = {(one.trace_id, one.span_id) for one in exported}
    assert sum(line[1] for (_, quantity), line in found.lines.items() if quantity == "operations") == len(distinct)
    books.ledger.close()


def test_a_hundred_planted_differences_of_six_kinds_and_no_others(books: Any, call: Any, span: Any) -> None:
    chance = random.Random(1)
    calls = [call(n, nano=chance.randrange(10**9)) for n in range(3_000)]
    planted = dict(zip(chance.sample(range(3_000), 100), KINDS[:6] * 17, strict=False))
    exported: list[Any] = []
    for number, entry in enumerate(calls):
        exported += damage(books, entry, span(entry), planted.get(number, ""))
    books.export(*exported, per_line=100)
    assert books.compare().kinds == {calls[number].id: [kind] for number, kind in planted.items()}
