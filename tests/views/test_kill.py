"""Services killed in mid-flow: no span lost, sums equal, and what was delivered twice can be named.

One round of each here; VIEWS_ROUNDS=10 makes ten, and prints what was seen.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow]
ROUNDS = int(os.environ.get("VIEWS_ROUNDS", "1"))


@pytest.fixture(scope="module")
def running(make_views: Any) -> Any:
    """One stack for all rounds."""
    return make_views()


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("service", ["gateway", "agent", "prometheus"])
def test_a_killed_service_loses_nothing(running: Any, service: str, round_: int) -> None:
    views, chance = running, random.Random(f"{service} {round_}")
    process = views.start("traffic.py", "--calls", "250", "--seed", str(round_), OTEL_TRACES_EXPORTER="otlp,spanledger")
    before = views.in_ledger()["operations"] if views.ledger_path.exists() else 0
    assert views.until(lambda: views.ledger_path.exists() and views.in_ledger()["operations"] > before, 60), "the application runs"
    time.sleep(chance.uniform(0.3, 4.0))  # the moment is what is random here
    views.stack.kill(service)
    time.sleep(chance.uniform(0.0, 1.5))
    views.stack.restart(service)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    json.loads(out)
    ended = _ended(views)
    assert views.until(lambda: len(_delivered(views)) >= len(ended), 90), f"{len(ended) - len(_delivered(views))} spans are missing"
    delivered = _delivered(views)
    assert set(delivered) == ended
    twice = {span: count - 1 for span, count in delivered.items() if count > 1}
    operations = views.in_ledger()["operations"]
    assert views.until(lambda: _agree(views, twice), 60), (operations, twice, views.sums("operations"))
    print(
        f"\n{service} round {round_ + 1}: {len(ended)} spans ended, all in the file, {sum(twice.values())} twice; {operations} operations"
    )


def _ended(views: Any) -> set[str]:
    """Ids of all spans that ended, as the process itself kept them in its ledger file."""
    with sqlite3.connect(views.ledger_path) as db:
        found = {span for (span,) in db.execute("SELECT span_id FROM span")}
    db.close()
    return found


def _delivered(views: Any) -> Counter[str]:
    """How often each span is in the file of spans. A line that is being written is not read yet."""
    found: Counter[str] = Counter()
    for path in sorted((views.directory / "stack" / "spans").iterdir()):
        for line in path.read_text().splitlines():
            try:
                request = json.loads(line)
            except json.JSONDecodeError:
                continue
            found.update(
                span["spanId"] for resource in request["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]
            )
    return found


def _agree(views: Any, twice: dict[str, int]) -> bool:
    """Whether all sources have the books' operations, the spans' sum also what was delivered twice."""
    counted = {span["spanId"] for span in views.spans() if span["attributes"].get("spanledger.counted")}
    again = sum(count for span, count in twice.items() if span in counted)
    sums = {source: counts.total() for source, counts in views.sums("operations").items()}
    operations = views.in_ledger()["operations"]
    # A payload killed between queueing and its acknowledgement was counted before it was written to the file, or the other way round.
    return sums["sdk"] == sums["execution"] == sums["ledger"] == operations and operations <= sums["span"] <= operations + again
