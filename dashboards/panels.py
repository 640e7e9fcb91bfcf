"""Panels, each made by one call, and their places on Grafana's grid of 24 columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as values
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from dashboards import names
from spanledger.model import Activity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = 24
USD, SHARE, SECONDS, NUMBER = "currencyUSD", "percentunit", "s", "short"
PER_SECOND, TOKENS_PER_SECOND = "ops", "suffix: tokens/s"
DATASOURCE = values.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "spanledger"


@dataclass(frozen=True)
class Query:
    """One expression. ``legend`` may name labels as ``{{label}}``."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    """Shows the traces behind a histogram as dots that lead to Jaeger."""


@dataclass(frozen=True)
class About:
    """What a panel tells its reader: its title, what it shows, and what to do when it looks wrong."""

    title: str
    shows: str
    wrong: str


@dataclass(frozen=True)
class Levels:
    """Where a value turns yellow and red."""

    warning: float
    critical: float


def number(about: About, *queries: Query, unit: str, since: str | None = None, levels: Levels | None = None, width: int = 4) -> model.Panel:
    """The newest value, large. ``since`` replaces the dashboard's range, such as ``now/d``: the day so far."""
    panel = stat.Panel().graph_mode(values.BigValueGraphMode.NONE).reduce_options(_newest()).build()
    panel.time_from = since
    _coloured(panel, levels)
    return _finished(panel, about, [_target(query, instant=True) for query in queries], unit, (width, 4))


def graph(about: About, *queries: Query, unit: str, stacked: bool = False, width: int = 12) -> model.Panel:
    """Lines over time."""
    shown = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions()
            .display_mode(values.LegendDisplayMode.TABLE)
            .placement(values.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(values.TooltipDisplayMode.MULTI).sort(values.SortOrder.DESCENDING))
    )
    shown = shown.fill_opacity(10).show_points(values.VisibilityMode.AUTO)
    if stacked:
        shown = shown.stacking(common.StackingConfig().mode(values.StackingMode.NORMAL).group("A"))
    return _finished(shown.build(), about, [_target(query) for query in queries], unit, (width, 8))


def bars(about: About, query: Query, *, unit: str, levels: Levels | None = None, width: int = 8) -> model.Panel:
    """One bar for each series, of its newest value."""
    panel = (
        bargauge.Panel()
        .orientation(values.VizOrientation.HORIZONTAL)
        .display_mode(values.BarGaugeDisplayMode.BASIC)
        .reduce_options(_newest())
        .build()
    )
    _coloured(panel, levels)
    return _finished(panel, about, [_target(query, instant=True)], unit, (width, 8))


def listing(about: About, columns: Mapping[str, tuple[str, str]], labels: Mapping[str, str], *, width: int = 12) -> model.Panel:
    """A table with a row for each label set: first ``labels`` (label -> heading), then ``columns`` (heading -> expression and unit)."""
    panel = table.Panel().cell_options(values.TableAutoCellOptions()).build()
    fields = ["Value"] if len(columns) == 1 else [f"Value #{_letter(place)}" for place in range(len(columns))]
    headings = {**labels, **dict(zip(fields, columns, strict=True))}
    organised = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(headings)},
        "renameByName": headings,
    }
    panel.transformations = [model.DataTransformerConfig("merge", options={}), model.DataTransformerConfig("organize", options=organised)]
    _defaults(panel)
    for heading, (_, unit) in columns.items():
        _give_unit(panel, heading, unit)
    return _finished(panel, about, [_target(Query(expr), instant=True, rows=True) for expr, _ in columns.values()], NUMBER, (width, 8))


def matrix(about: About, expr: str, fields: tuple[str, str], *, unit: str, width: int = 8) -> model.Panel:
    """A table of two labels against each other: ``fields`` is that of the rows and that of the columns."""
    panel = table.Panel().cell_options(values.TableAutoCellOptions()).build()
    arranged = {"rowField": fields[0], "columnField": fields[1], "valueField": "Value", "emptyValue": "null"}
    panel.transformations = [model.DataTransformerConfig("groupingToMatrix", options=arranged)]
    return _finished(panel, about, [_target(Query(expr), instant=True, rows=True)], unit, (width, 8))


def note(about: About, markdown: str, *, width: int = COLUMNS, height: int = 4) -> model.Panel:
    """Words. Its text stands in the panel; the description says why it is there."""
    panel = text.Panel().mode(TextMode.MARKDOWN).content(markdown).build()
    return _finished(panel, about, [], None, (width, height))


def dashboard(
    uid: str, title: str, description: str, rows: Mapping[str, Sequence[model.Panel]], *, span: str = "now-24h"
) -> model.Dashboard:
    """A dashboard of rows of panels; every panel gets its place and its number."""
    board = (
        build.Dashboard(title).uid(uid).description(description).tags([TAG, "generated"]).timezone("utc").refresh("1m").time(span, "now")
    )
    board = board.tooltip(model.DashboardCursorSync.CROSSHAIR).readonly()
    for variable in _variables():
        board = board.with_variable(variable)
    links = build.DashboardLink("Spanledger").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    built = board.link(links.include_vars(include_vars=True).keep_time(keep_time=True)).build()
    built.panels = _laid_out(rows)
    return built


def _variables() -> list[build.DatasourceVariable | build.QueryVariable | build.CustomVariable]:
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    services = f"label_values({names.CALLS}, {names.SERVICE})"
    return [
        build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        build.QueryVariable("service")
        .label("Service")
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": services, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything),
        build.CustomVariable("activity")
        .label("Activity")
        .values(",".join(Activity))
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything),
    ]


def _laid_out(rows: Mapping[str, Sequence[model.Panel]]) -> list[model.Panel | model.RowPanel]:
    placed: list[model.Panel | model.RowPanel] = []
    top = 0
    for title, panels in rows.items():
        heading = build.Row(title).id(len(placed) + 1).grid_pos(model.GridPos(h=1, w=COLUMNS, x=0, y=top)).build()
        placed.append(heading)
        top, left, deepest = top + 1, 0, 0
        for panel in panels:
            place = panel.grid_pos or model.GridPos()
            if left + place.w > COLUMNS:
                top, left, deepest = top + deepest, 0, 0
            place.x, place.y = left, top
            panel.id_val = len(placed) + 1
            placed.append(panel)
            left, deepest = left + place.w, max(deepest, place.h)
        top += deepest
    return placed


def _finished(
    panel: model.Panel, about: About, targets: list[prometheus.Dataquery], unit: str | None, size: tuple[int, int]
) -> model.Panel:
    """``size`` is width and height."""
    panel.title, panel.description = about.title, f"{about.shows}\n\n**If it looks wrong:** {about.wrong}"
    panel.grid_pos = model.GridPos(w=size[0], h=size[1], x=0, y=0)
    _defaults(panel).unit = unit
    if targets:
        panel.datasource = DATASOURCE
        panel.targets = [target.ref_id(_letter(place)).build() for place, target in enumerate(targets)]
    return panel


def _target(query: Query, *, instant: bool = False, rows: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).datasource(DATASOURCE).exemplar(query.exemplars)
    target = target.format(PromQueryFormat.TABLE if rows else PromQueryFormat.TIME_SERIES)
    target = target.legend_format(query.legend or "__auto")
    return target.instant() if instant else target.range()


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _letter(place: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place]


def _defaults(panel: model.Panel) -> model.FieldConfig:
    config = panel.field_config = panel.field_config or model.FieldConfigSource()
    config.defaults = config.defaults or model.FieldConfig()
    return config.defaults


def _coloured(panel: model.Panel, levels: Levels | None) -> None:
    steps = [model.Threshold(value=None, color="text")]
    if levels is not None:
        steps = [
            model.Threshold(value=None, color="green"),
            model.Threshold(value=levels.warning, color="yellow"),
            model.Threshold(value=levels.critical, color="red"),
        ]
    _defaults(panel).thresholds = model.ThresholdsConfig(mode=model.ThresholdsMode.ABSOLUTE, steps=steps)


def _give_unit(panel: model.Panel, heading: str, unit: str) -> None:
    assert panel.field_config is not None  # noqa: S101  # _defaults made it
    panel.field_config.overrides.append(
        model.DashboardFieldConfigSourceOverrides(
            matcher=model.MatcherConfig(id_val="byName", options=heading),
            properties=[model.DynamicConfigValue(id_val="unit", value=unit)],
        )
    )
