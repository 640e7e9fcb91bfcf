"""The dashboards, asked of a real Prometheus after an application worked, with the shipped gateway and rules between them."""

from __future__ import annotations

import json
import math
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from dashboards import expressions, names
from spanledger.ledger.open import open_ledger
from spanledger.model import State
from spanledger.telemetry import semconv

if TYPE_CHECKING:
    from dashboards.expressions import Expression

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_every_name_is_translated_as_prometheus_does_it(prometheus: Any) -> None:
    """Nothing is missing and nothing is spelt otherwise: what arrived of ours is what ``names`` says, but for what no panel needs."""
    arrived = {re.sub(r"_(bucket|sum|count)$", "", name) for name in prometheus.names() if name.startswith(("gen_ai_", "spanledger_"))}
    arrived = {name for name in arrived if ":" not in name}
    histograms = (semconv.DEFAULT.token_usage, *semconv.LATEST.operation_tokens.values())
    counters = semconv.LATEST.usage_counters.values()
    others = {names.metric(names.Instrument(name, names.Kind.HISTOGRAM, "{token}")) for name in histograms if name}
    others |= {names.metric(names.Instrument(name, names.Kind.COUNTER, "{token}")) for name in counters}
    assert arrived - others == set(names.OURS)
    assert others - arrived <= {"gen_ai_client_inference_usage_reasoning_output_tokens_total"}, "no call of the application reasons"


def test_every_attribute_is_translated_as_prometheus_does_it(prometheus: Any) -> None:
    labels = set(prometheus.ask("labels"))
    ours = {value for name, value in vars(names).items() if name in ("ACTIVITY", "PROVIDER", "MODEL", "STATE", "ERROR_TYPE", "ERROR_PLACE")}
    ours |= {names.BUDGET_NAME, names.BUDGET_UNIT, names.KIND_OF_VALUE, names.TOOL_NAME, names.WORKFLOW_NAME, names.SERVICE}
    assert ours <= labels


@pytest.mark.parametrize("expression", expressions.everything(), ids=str)
def test_every_expression_is_answered(prometheus: Any, expression: Expression) -> None:
    numbers = [float(series["value"][1]) for series in prometheus.soon(expression.filled())]
    assert numbers
    assert not any(map(math.isnan, numbers)), "a share of nothing"


@pytest.mark.parametrize("window", ["7d", "30d"])
def test_every_expression_is_answered_for_long_ranges(prometheus: Any, window: str) -> None:
    answers = {str(expression): prometheus.soon(expression.filled(__range=window)) for expression in expressions.everything()}
    assert [name for name, series in answers.items() if not series] == []


def shown(prometheus: Any, panel: str, ref: str = "A") -> float:
    """The one number that a panel shows."""
    (expression,) = [e for e in expressions.everything() if str(e) == f"{panel}/{ref}"]
    (series,) = prometheus.series(expression.filled())
    return float(series["value"][1])


def test_the_figures_are_those_of_the_ledgers(prometheus: Any) -> None:
    entries = [
        entry for path in prometheus.folder.glob("*.db") for entry in open_ledger(f"sqlite:///{path}", on_problem=pytest.fail).entries()
    ]
    cost = sum(entry.cost.nano_usd or 0 for entry in entries)
    unpriced = [entry for entry in entries if entry.cost.nano_usd is None]
    unknown = [entry for entry in unpriced if entry.usage.state is State.UNKNOWN]
    assert shown(prometheus, "spend/Calls in the time range") == len(entries)
    assert round(shown(prometheus, "spend/Cost in the time range") * 1e9) == cost
    assert len(entries) > len(unpriced) > len(unknown) > 0
    assert round(shown(prometheus, "spend/Calls without a cost") * len(entries)) == len(unpriced) - len(unknown)
    assert round(shown(prometheus, "spend/Calls without a cost", "B") * len(entries)) == len(unknown)
    assert round(shown(prometheus, "spend/Per call") * 1e9 * (len(entries) - len(unpriced))) == cost
    tools = sum(entry.plugin is not None for entry in entries)
    assert shown(prometheus, "operations/Model calls") == len(entries) - tools


def test_the_books_agree(prometheus: Any) -> None:
    """Nothing was lost, so no source may differ from another."""
    (operations,) = [e for e in expressions.everything() if str(e) == "books/Operations, by source and activity/A"]
    by_source: dict[str, dict[str, str]] = {}
    for series in prometheus.series(operations.filled()):
        by_source.setdefault(series["metric"]["source"], {})[series["metric"]["activity_type"]] = series["value"][1]
    assert by_source["span"] == by_source["sdk"]
    assert set(by_source["sdk"]) == {"llm", "memory", "plugin"}
    worst = prometheus.series(next(e for e in expressions.everything() if str(e) == "books/Worst discrepancy/A").filled())
    assert {series["metric"]["what"] for series in worst} == set(names.UNITS_OF_BOOKS)


def test_the_services_to_choose_from(prometheus: Any) -> None:
    for name in expressions.NAMES:
        service = json.loads((expressions.HERE / f"{name}.json").read_text())["templating"]["list"][1]
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", service["query"]["query"]).groups()
        assert prometheus.ask(f"label/{label}/values", **{"match[]": metric}) == ["shop-default", "shop-latest"]


def test_one_service_is_chosen(prometheus: Any) -> None:
    by_service = next(e for e in expressions.everything() if str(e) == "spend/By service/A")
    chosen = prometheus.series(by_service.filled(service="shop-latest"))
    assert [series["metric"]["service_name"] for series in chosen] == ["shop-latest"]


def test_a_refused_expression_would_be_seen(prometheus: Any) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        prometheus.series("sum by (")


def test_what_the_expressions_name_is_what_prometheus_parses(prometheus: Any) -> None:
    """Our reading of names in PromQL, against Prometheus's own parser."""

    def named(node: Any) -> set[str]:
        if isinstance(node, list):
            return {name for part in node for name in named(part)}
        if not isinstance(node, dict):
            return set()
        found = {name for value in node.values() for name in named(value)}
        for matcher in node.get("matchers") or ():
            if matcher["name"] == "__name__":
                found |= set(matcher["value"].split("|"))
        return found

    for expression in expressions.everything():
        text = expression.filled()
        assert named(prometheus.ask("parse_query", query=text)) == expressions.metrics(text), expression


def test_exemplars_lead_from_latency_to_traces(prometheus: Any) -> None:
    latency = next(e for e in expressions.everything() if str(e) == "operations/Duration of model calls/A")
    found = prometheus.ask("query_exemplars", query=latency.filled(), start=str(time.time() - 600), end=str(time.time()))
    labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    assert labels
    assert all(re.fullmatch(r"[0-9a-f]{32}", label["trace_id"]) for label in labels)


def test_gained_is_exact(prometheus: Any) -> None:
    """The whole of what the counters say, although they were born in the window; ``increase`` would be right by chance only."""
    total = next(e for e in expressions.everything() if str(e) == "spend/Calls in the time range/A")
    truth = prometheus.series(f"sum(max_over_time({names.CALLS}[1h]))")
    assert prometheus.series(total.filled())[0]["value"][1] == truth[0]["value"][1]
