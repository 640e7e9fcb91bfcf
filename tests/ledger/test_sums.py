"""Lifetime sums and the audit chain: what every ledger promises about them."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.ledger import chain, history
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Usage


def the_sum(ledger, state="exact"):
    (found,) = [one for one in ledger.sums() if one.usage_state == state]
    return found


def test_token_types_do_not_overlap(ledger, make_entry):
    ledger.settle(make_entry(usage=Usage(100, 50, cache_read=30, cache_write=5, cache_write_1h=10, reasoning=20), service="shop"), [])
    found = the_sum(ledger)
    assert (found.service, found.activity, found.operations, found.nano_usd) == ("shop", "llm", 1, 100)
    assert (found.input, found.cache_read, found.cache_write, found.output, found.reasoning, found.plugin) == (55, 30, 15, 30, 20, 0)


def test_a_plugin_s_tokens_are_a_type_of_their_own(ledger, make_entry):
    ledger.settle(make_entry(usage=Usage(400, 0), plugin="search", activity=Activity.PLUGIN), [])
    found = the_sum(ledger)
    assert (found.activity, found.plugin, found.input, found.output) == ("plugin", 400, 0, 0)


def test_unknown_usage_has_a_cost_but_no_tokens(ledger, make_entry):
    ledger.settle(make_entry(state="unknown"), [])
    found = the_sum(ledger, "unknown")
    assert (found.operations, found.input, found.nano_usd) == (1, 0, 100)


def test_settling_again_adds_nothing(ledger, make_entry):
    ledger.settle(make_entry(), [])
    ledger.settle(make_entry(), [])
    assert the_sum(ledger).operations == 1


def test_exact_numbers_are_added_and_the_operation_stays_counted_once(ledger, make_entry):
    ledger.settle(make_entry(state="unknown", nano=7), [])
    ledger.settle(make_entry(tokens=33), [])
    assert (the_sum(ledger, "unknown").operations, the_sum(ledger, "exact").operations) == (1, 0)
    assert (the_sum(ledger, "exact").input, the_sum(ledger, "exact").nano_usd) == (33, 100)


def test_what_a_retry_replaces_is_summed_when_it_is_replaced(ledger, make_entry):
    for attempt in (1, 2):
        ledger.settle(make_entry(str(attempt), execution="run", step="draft", attempt=attempt, tokens=10 * attempt), [])
        ledger.end_step("run", "draft", attempt, ok=attempt == 2)
    ledger.end_step("run", "draft", 2, ok=True)
    found = the_sum(ledger)
    assert (found.operations, found.input) == (2, 30)
    assert (found.superseded_operations, found.superseded_tokens, found.superseded_nano_usd) == (1, 10, 100)


def test_an_entry_settled_after_its_attempt_was_replaced_is_summed_at_once(ledger, make_entry):
    ledger.end_step("run", "draft", 1, ok=False)
    ledger.end_step("run", "draft", 2, ok=True)
    ledger.settle(make_entry(execution="run", step="draft", attempt=1, tokens=4), [])
    assert the_sum(ledger).superseded_tokens == 4


def test_deleting_old_entries_leaves_the_sums(sqlite_ledger, make_entry):
    sqlite_ledger.settle(make_entry(), [])
    with closing(sqlite3.connect(sqlite_ledger.path)) as db, db:
        db.execute("DELETE FROM entry")
    assert the_sum(sqlite_ledger).operations == 1


def test_every_ledger_has_a_name_of_its_own(tmp_path):
    first, second = SqliteLedger(tmp_path / "a.db"), SqliteLedger(tmp_path / "b.db")
    names = {first.identity(), second.identity(), MemoryLedger().identity(), MemoryLedger().identity()}
    assert len(names) == 4
    again = SqliteLedger(tmp_path / "a.db")
    assert again.identity() == first.identity()
    for ledger in (first, second, again):
        ledger.close()


counts = st.none() | st.integers(0, 1000)
usages = st.builds(Usage, counts, counts, counts, counts, counts, counts, state=st.sampled_from(State))
settled = st.tuples(st.just("settle"), st.integers(0, 9), usages, st.integers(0, 9))
ended = st.tuples(st.just("end"), st.integers(1, 3), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(settled | ended, max_size=25), st.sampled_from([1, 3, 256]))
def test_sums_and_responses_are_alike_in_memory_and_in_sqlite(steps, many):
    with tempfile.TemporaryDirectory() as folder, patch.object(history, "_MANY", many):
        ledgers = [MemoryLedger(), SqliteLedger(Path(folder) / "ledger.db")]
        for step in steps:
            for ledger in ledgers:
                _do(ledger, *step)
        memory, sqlite = (ledger.sums() for ledger in ledgers)
        in_memory, in_sqlite = ([ledger.find_response(f"r{number}") for number in range(3)] for ledger in ledgers)
        ledgers[1].close()
    assert memory == sqlite
    assert in_memory == in_sqlite
    assert sum(one.operations for one in memory) == len({step[1] for step in steps if step[0] == "settle"})


def _do(ledger, kind, *values):
    if kind == "end":
        ledger.end_step("run", "step", values[0], ok=values[1])
        return
    number, usage, nano = values
    attempt, plugin = (None, 1, 2, 3)[number % 4], "search" if number % 5 == 0 else None
    copied = Usage(usage.input, usage.output, usage.cache_read, usage.cache_write, usage.cache_write_1h, usage.reasoning, state=usage.state)
    step = "step" if attempt else None
    cost = Cost(nano, CostStatus.EXACT)
    entry = Entry(
        str(number), float(number * 7 % 10), Activity.LLM, "p", "chat", response_id=f"r{number % 3}", plugin=plugin, execution="run",
        step=step, attempt=attempt, usage=copied, cost=cost,
    )  # fmt: skip
    ledger.settle(entry, [])


class TestAudit:
    def test_records_are_numbered_and_chained(self, ledger):
        first, second = ledger.append_audit(1.0, "a", '{"what":"x"}'), ledger.append_audit(2.0, "b", "{}")
        assert (first.sequence, first.previous, second.sequence, second.previous) == (1, chain.START, 2, first.hash)
        assert list(ledger.audit()) == [first, second]
        assert list(ledger.audit(after=1)) == [second]
        assert chain.first_broken(ledger.audit()) is None

    def test_the_same_event_is_written_once(self, ledger):
        assert ledger.append_audit(1.0, "a", "{}") is not None
        assert ledger.append_audit(2.0, "a", "{}") is None
        assert len(list(ledger.audit())) == 1

    @pytest.mark.parametrize(
        ("field", "value"), [("time", 9.0), ("key", "z"), ("text", "{}"), ("previous", "0" * 64), ("hash", "0" * 64), ("sequence", 7)]
    )
    def test_any_change_shows(self, ledger, field, value):
        for number in range(4):
            ledger.append_audit(1.0, str(number), '{"n":1}')
        records = list(ledger.audit())
        records[2] = records[2]._replace(**{field: value})
        assert chain.first_broken(records) == (7 if field == "sequence" else 3)

    def test_a_missing_record_shows(self, ledger):
        for number in range(4):
            ledger.append_audit(1.0, str(number), "{}")
        records = list(ledger.audit())
        assert chain.first_broken([*records[:1], *records[2:]]) == 3

    @pytest.mark.parametrize("statement", ["UPDATE audit SET text = ''", "DELETE FROM audit"])
    def test_sqlite_refuses_to_change_records(self, sqlite_ledger, statement):
        sqlite_ledger.append_audit(1.0, "a", "{}")
        with closing(sqlite3.connect(sqlite_ledger.path)) as db, pytest.raises(sqlite3.IntegrityError, match="audit records are never"):
            db.execute(statement)


def test_sums_beyond_64_bits(ledger, make_entry):
    """What a provider tells that has forgotten the sign of a number."""
    for number in range(1025):
        ledger.settle(make_entry(str(number), tokens=2**53 - 1, nano=2**53 - 1), [])
    (total,) = ledger.totals(["model"])
    assert (total.calls, total.input_tokens, total.nano_usd) == (1025, 1025 * (2**53 - 1), 1025 * (2**53 - 1))
