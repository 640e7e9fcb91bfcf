"""The generated dashboards as files: fresh, as Grafana wants them, complete, and of metrics that exist."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from jsonschema import Draft7Validator

from dashboards import expressions, generate, names

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCHEMA = json.loads((HERE / "grafana.schema.json").read_text())
Json = dict[str, Any]


def load(name: str) -> Json:
    found: Json = json.loads((ROOT / "dashboards" / f"{name}.json").read_text())
    return found


def panels(board: Json) -> list[Json]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def recorded() -> set[str]:
    """The recording rules that the stack has."""
    rules = yaml.safe_load((ROOT / "collector" / "rules" / "spanledger.rules.yaml").read_text())
    return {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}


@pytest.fixture(params=expressions.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each dashboard."""
    return str(request.param)


@pytest.fixture
def board(name: str) -> Json:
    return load(name)


def test_the_files_are_what_the_code_generates(name: str) -> None:
    written = (ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
    assert written == generate.text(name), "run `python -m dashboards.generate` and look at the difference"


def complaints(board: Json) -> Iterator[str]:
    """What Grafana's own types say against a dashboard: unknown keys, missing keys, wrong types."""

    def against(definition: str, value: object) -> Iterator[str]:
        schema = {"$ref": f"#/definitions/{definition}", "definitions": SCHEMA["definitions"]}
        return (f"{definition} {error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(value))

    yield from against("Dashboard", board)
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from against("RowPanel", panel)
            continue
        yield from against("Panel", panel)
        yield from against(f"Options_{panel['type']}", panel["options"])
        if custom := panel["fieldConfig"]["defaults"].get("custom"):
            yield from against(f"FieldConfig_{panel['type']}", custom)


def test_they_are_valid_by_grafanas_own_types(board: Json) -> None:
    assert list(complaints(board)) == []


BREAKAGES = {
    "an unknown key": lambda board: board.update(schemaversion=42),
    "an unknown key in a panel": lambda board: panels(board)[0].update(subtitle="x"),
    "text for a number": lambda board: panels(board)[0]["gridPos"].update(h="4"),
    "an unknown option of its kind": lambda board: panels(board)[0]["options"].update(graphmode="none"),
    "a word that is no choice": lambda board: panels(board)[0]["options"].update(graphMode="sparkle"),
    "a missing option": lambda board: panels(board)[0]["options"].pop("reduceOptions"),
    "a link without a title": lambda board: board["links"][0].pop("title"),
    "an unknown key in a variable": lambda board: board["templating"]["list"][1].update(includeEverything=True),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_validation_finds_what_is_wrong(breakage: str) -> None:
    board = copy.deepcopy(load("spend"))
    BREAKAGES[breakage](board)
    assert list(complaints(board)) != []


def there_and_back(board: Json) -> Json:
    """Through the SDK's models; Grafana's npm package has no type for Prometheus queries."""
    register_default_plugins()
    decoded: Json = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    return decoded


def test_the_queries_are_read_back_as_they_are(board: Json) -> None:
    for before, after in zip(panels(board), panels(there_and_back(board)), strict=True):
        assert after.get("targets") == before.get("targets"), before["title"]


def test_a_query_key_that_the_sdk_does_not_know_would_be_lost() -> None:
    board = load("spend")
    panels(board)[0]["targets"][0]["exemplars"] = True
    assert panels(there_and_back(board))[0]["targets"] != panels(board)[0]["targets"]


def test_no_panel_lies_upon_another_or_outside(board: Json) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies upon {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_every_panel_explains_itself(board: Json) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)
    for panel in panels(board):
        assert isinstance(panel["id"], int), panel["title"]
        shows, _, wrong = panel["description"].partition("**If it looks wrong:** ")
        assert len(shows) > 20, panel["title"]
        assert len(wrong) > 20, panel["title"]
        if panel["type"] == "text":
            assert panel["options"]["content"]
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_the_dashboards_are_told_apart_and_linked() -> None:
    boards = [load(name) for name in expressions.NAMES]
    assert [board["uid"] for board in boards] == [f"spanledger-{name}" for name in expressions.NAMES]
    for board in boards:
        assert board["timezone"] == "utc"
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "service", "activity"]
        (link,) = board["links"]
        assert link["type"] == "dashboards"
        assert set(link["tags"]) <= set(board["tags"])


def test_every_variable_is_used_and_every_used_variable_exists(board: Json) -> None:
    text = json.dumps(board["panels"])
    used = {found.strip("${}") for found in re.findall(r"\$\{?\w+\}?", text)} - {"__range", "__rate_interval"}
    assert used == {variable["name"] for variable in board["templating"]["list"]}


def test_every_metric_is_known() -> None:
    unknown = {
        (str(expression), metric)
        for expression in expressions.everything()
        for metric in expressions.metrics(expression.filled())
        if not is_known(metric)
    }
    assert unknown == set()


def is_known(metric: str) -> bool:
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    histogram = base in names.OURS and names.OURS[base].kind is names.Kind.HISTOGRAM
    return histogram or metric in names.OURS or metric in recorded() or bool(names.FOREIGN.fullmatch(metric))


def test_an_unknown_metric_is_found() -> None:
    for text, metric in (
        ('sum by (le) (rate(gen_ai_client_latency_bucket{job="x"}[5m]))', "gen_ai_client_latency_bucket"),
        ('max({__name__=~"up|down_total", job="x"})', "down_total"),
        ("spanledger_cost / on () group_left () sum(up)", "spanledger_cost"),
        ("a:b:c offset 5m > bool 1", "a:b:c"),
    ):
        assert metric in expressions.metrics(text)
        assert not is_known(metric)


def test_money_is_divided_after_it_was_added_up() -> None:
    money = (names.COST, names.RECON_COST, names.SUPERSEDED["cost"], names.GAINED["cost"], names.SIGNED["cost"])
    asked = [e for e in expressions.everything() if e.text.count("1e9") or any(f"{metric}{{" in e.text for metric in money)]
    assert len(asked) > 10
    for expression in asked:
        assert not re.search(r"1e9[^()]*\)\s*by|sum[^()]*\([^()]*/ 1e9", expression.text), expression
        assert "1e9" in expression.text, f"{expression} shows nano-USD"


def test_provisioning_fits_the_dashboards() -> None:
    folder = ROOT / "dashboards" / "provisioning"
    sources = {source["type"]: source for source in yaml.safe_load((folder / "datasources.yaml").read_text())["datasources"]}
    (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["datasourceUid"] == sources["jaeger"]["uid"]
    assert destination["name"] == "trace_id"
    (provider,) = yaml.safe_load((folder / "dashboards.yaml").read_text())["providers"]
    assert provider["allowUiUpdates"] is False
