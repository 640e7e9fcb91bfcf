"""Spans, process counters, workflow runs and the ledger add up to the same, through the collector into Prometheus."""

from __future__ import annotations

import json
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.stack, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the dashboards' code is beside the package
MEASURES = ("operations", "tokens", "cost", "superseded_operations", "superseded_tokens", "superseded_cost")


@pytest.fixture(scope="module")
def after_traffic(make_views: Any) -> Any:
    """A stack after 2,000 calls of every kind."""
    views = make_views()
    views.done = json.loads(views.run("traffic.py", "--calls", "2000", "--seed", "7"))
    wanted = views.in_ledger()["operations"]
    assert views.until(lambda: all(counts.total() == wanted for counts in views.sums("operations").values())), views.sums("operations")
    return views


def test_the_traffic_is_of_every_kind(after_traffic: Any) -> None:
    kinds = {"chat", "stream", "stream_without_usage", "abandoned", "messages", "message_stream", "embedding", "tool", "overcome_error"}
    assert kinds | {"BadRequestError", "APITimeoutError", "retried step"} <= set(after_traffic.done)
    assert after_traffic.in_ledger()["operations"] >= 2000


@pytest.mark.parametrize("measure", MEASURES)
def test_four_sources_are_equal(after_traffic: Any, measure: str) -> None:
    """To the call, the token and the nano-USD, for each activity, usage state and token type."""
    sums = after_traffic.sums(measure)
    if measure.startswith("superseded"):  # the span of a step does not tell usage states apart
        sums = {source: _by_activity(counts) for source, counts in sums.items()}
    assert sums["span"] == sums["sdk"] == sums["execution"] == sums["ledger"]
    assert sums["ledger"].total() > 0
    if measure in ("operations", "tokens", "cost"):
        assert sums["ledger"].total() == after_traffic.in_ledger()[measure]


def _by_activity(counts: Any) -> Any:
    found = type(counts)()
    for key, count in counts.items():
        found[key[0]] += count
    return found


def test_the_file_holds_every_span_once_and_jaeger_a_sample(after_traffic: Any) -> None:
    spans = list(after_traffic.spans())
    calls = [span["attributes"]["spanledger.entry.id"] for span in spans if span["attributes"].get("spanledger.counted")]
    assert len(calls) == len(set(calls)) == after_traffic.in_ledger()["operations"]
    traces = {span["traceId"] for span in spans}
    failed = {span["traceId"] for span in spans if span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")}
    assert after_traffic.until(lambda: failed <= _in_jaeger(after_traffic), 60)
    sampled = _in_jaeger(after_traffic)
    assert failed <= sampled <= traces, "errors are kept, and nothing comes from nowhere"
    assert 0 < len(sampled) < len(traces), "the rest is a sample"


def _in_jaeger(views: Any) -> set[str]:
    found = views.get("jaeger", "/api/traces", service="demo", limit="5000", lookback="1h")
    return {trace["traceID"] for trace in found["data"] or []}


def test_nothing_was_lost_on_the_way(after_traffic: Any) -> None:
    lost = 'sum({__name__=~"otel_sdk_.*",error_type!=""}) or sum({__name__=~"otelcol_.*(failed|refused|dropped).*"})'
    (row,) = after_traffic.query(lost)
    assert row["value"][1] == "0"


def _rules() -> list[tuple[str, str, str]]:
    """Group, name and expression of every rule."""
    groups = yaml.safe_load((ROOT / "collector" / "rules" / "spanledger.rules.yaml").read_text())["groups"]
    return [(group["name"], rule.get("record") or rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def test_every_expression_of_the_rules_runs(after_traffic: Any) -> None:
    refused = {}
    for _, name, expression in _rules():
        try:
            after_traffic.query(expression)
        except urllib.error.HTTPError as error:
            refused[name] = error.read().decode()
    assert refused == {}
    assert len(_rules()) > 30


def test_everything_that_is_recorded_has_data(after_traffic: Any) -> None:
    """All but the group that looks back for a day, which is evaluated every five minutes."""
    names = {name for group, name, _ in _rules() if group == "spanledger_recon"}
    assert after_traffic.until(lambda: all(map(after_traffic.query, names)), 120), [name for name in names if not after_traffic.query(name)]
    assert len(names) > 8


def test_no_alarm_fires(after_traffic: Any) -> None:
    firing = after_traffic.query('ALERTS{alertstate="firing"}')
    assert [row["metric"]["alertname"] for row in firing] == []


def test_every_expression_of_the_dashboards_runs(after_traffic: Any) -> None:
    from dashboards.expressions import everything

    expressions = everything()
    refused = {}
    for expression in expressions:
        try:
            after_traffic.query(expression.filled())
        except urllib.error.HTTPError as error:
            refused[str(expression)] = error.read().decode()
    assert refused == {}
    assert len(expressions) > 50
