"""*Books*, for reconciliation: do the sources agree, and if not, where was something lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import names as n
from dashboards import promql as q
from dashboards.panels import NUMBER, SECONDS, SHARE, USD, About, Levels, Query, bars, dashboard, graph, listing, matrix, note, number

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

TOLERANCE = 0.01
"""Where the alert stands: collector/rules/spanledger.rules.yaml."""
HOUR = "1h"
PAIR = "{{source}} {{activity_type}}"
OPERATIONS = q.of(n.OPERATIONS, *q.RECON)
SILENCE = Levels(120, 600)
"""Seconds. Sources speak every minute or more often, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise."""


def build() -> Dashboard:
    """The dashboard."""
    rows = {
        "Do the books agree? (the last hour)": [_worst(), _alarms(), _how_to_read()],
        "What each source counted in the last hour": [_matrix(what) for what in n.UNITS_OF_BOOKS],
        "Differences": [*[_difference(what) for what in n.UNITS_OF_BOOKS], *[_discrepancy(what) for what in n.UNITS_OF_BOOKS]],
        "Losses on the way": [_sdk_losses(), _collector_losses(), _queues()],
        "Freshness": [_heard(), _grown()],
        "Consumed, but not billable": [_superseded("tokens", NUMBER), _superseded("cost", USD)],
    }
    about = (
        "The same sums told by several sources: the process (`sdk`), its workflow runs (`execution`), the ledger, and the collector, which "
        "derives them from spans (`span`). Where they differ, something was lost or counted twice."
    )
    return dashboard("spanledger-books", "Spanledger / Books", about, rows, span="now-6h")


def _in_dollars(what: str, expr: str) -> str:
    return q.usd(expr) if what == "cost" else expr


def _unit(what: str) -> str:
    return USD if what == "cost" else NUMBER


def _worst() -> Panel:
    return number(
        About(
            "Worst discrepancy",
            "The largest share by which two sources differ over the last hour, of tokens, cost and operations. Differences that the delays "
            "between spans and counters explain are left out.",
            "Above 1 % for 10 minutes an alarm is raised and an audit record written. Find the pair below, then let `spanledger reconcile` "
            "list the entries.",
        ),
        Query(f"max by (what) ({q.of(n.DISCREPANCY, *q.RECON)})", "{{what}}"),
        unit=SHARE,
        levels=Levels(TOLERANCE / 2, TOLERANCE),
        width=8,
    )


def _alarms() -> Panel:
    return listing(
        About(
            "Alarms",
            "What Prometheus holds for wrong at this moment. Empty is good.",
            "`spanledger audit` shows the records that alarms left, and that none was removed.",
        ),
        {"Firing": (f'{n.ALERTS}{{alertstate="firing"}}', NUMBER)},
        {"alertname": "Alarm", "severity": "Severity", "what": "What", "pair": "Pair", "activity_type": "Activity", n.SERVICE: "Service"},
        width=8,
    )


def _how_to_read() -> Panel:
    return note(
        About("Which pair sees what", "How to read a difference.", "Nothing here can go wrong."),
        "- **span ≠ sdk**: spans were lost or exported twice.\n- **execution ≠ sdk**: steps were lost, or calls were made outside of any "
        "workflow (then it is simply less).\n- **ledger ≠ sdk**: telemetry was lost, or a process was killed; the ledger is right.",
        width=8,
    )


def _matrix(what: str) -> Panel:
    expr = f"sum by (source, activity_type) ({q.of(n.GAINED[what], *q.RECON)})"
    return matrix(
        About(
            f"{what.capitalize()}, by source and activity",
            "What each source (column) counted for each activity (row). Cost of unknown usage is left out. A ledger is compared "
            "when it has been seen for an hour.",
            "A column that is empty everywhere: that source does not report, see *Freshness*.",
        ),
        _in_dollars(what, expr),
        ("activity_type", "source"),
        unit=_unit(what),
    )


def _difference(what: str) -> Panel:
    expr = f"sum by (source, activity_type) ({q.of(n.SIGNED[what], *q.RECON)})"
    return graph(
        About(
            f"Signed difference of {what}",
            "How much more (or less) than `sdk` each source counted in the hour before.",
            "Steadily below zero: that source loses. Above zero: it counts twice. A zigzag around zero is the delay between exports.",
        ),
        Query(_in_dollars(what, expr), PAIR),
        unit=_unit(what),
        width=8,
    )


def _discrepancy(what: str) -> Panel:
    certain = q.of(n.DISCREPANCY, f'what="{what}"', *q.RECON)
    return graph(
        About(
            f"Discrepancy of {what}",
            "The share by which two sources differ for certain: more than delays explain.",
            "Above 1 % for 10 minutes the alarm *SpanledgerDiscrepancy* fires.",
        ),
        Query(f"max by (pair, activity_type) ({certain})", "{{pair}} {{activity_type}}"),
        unit=SHARE,
        width=8,
    )


def _sdk_losses() -> Panel:
    def lost(metric: str, doing: str) -> Query:
        failed, whole = (q.total(q.of(metric, q.SERVICE, *only), n.SERVICE, window=HOUR) for only in ([f'{n.ERROR_TYPE}!=""'], []))
        return Query(q.none_or(failed, whole), f"{{{{{n.SERVICE}}}}}: {doing}")

    return graph(
        About(
            "Lost in the processes, last hour",
            "Spans that the SDK dropped because its queue was full, and spans whose export failed. A service that is missing here does "
            "not report them: it needs OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED=true.",
            "Dropped: raise OTEL_BSP_MAX_QUEUE_SIZE. Not exported: is the agent running? The ledger has the calls all the same.",
        ),
        lost(n.SDK_SPANS_PROCESSED, "dropped"),
        lost(n.SDK_SPANS_EXPORTED, "not exported"),
        unit=NUMBER,
        width=8,
    )


def _collector_losses() -> Panel:
    def lost(failure: str, whole: str, by: str, words: str) -> list[Query]:
        return [
            Query(
                q.none_or(
                    *(q.total(q.of(n.collector(what, signal)), "job", by, window=HOUR) for what in (failure, whole)),
                ),
                f"{{{{job}}}} {{{{{by}}}}}: {shown} {words}",
            )
            for signal, shown in n.COLLECTOR_SIGNALS.items()
        ]

    return graph(
        About(
            "Lost in the collectors, last hour",
            "Refused when they arrived (the sender tries again), not taken by an exporter's queue (lost), not delivered (lost).",
            "Refused: give the collector more memory. Not queued: the disk is full or broken. Not delivered: its log says why.",
        ),
        *lost("receiver_refused", "receiver_accepted", "receiver", "refused"),
        *lost("exporter_enqueue_failed", "exporter_sent", "exporter", "not queued"),
        *lost("exporter_send_failed", "exporter_sent", "exporter", "not delivered"),
        unit=NUMBER,
        width=8,
    )


def _queues() -> Panel:
    by = "by (job, exporter)"
    return graph(
        About(
            "Queues of the collectors",
            "How full the queue of each exporter is.",
            "It grows: what comes after it is down or slow. Nothing is lost until it is full.",
        ),
        Query(f"max {by} ({n.COLLECTOR_QUEUE_SIZE}) / max {by} ({n.COLLECTOR_QUEUE_CAPACITY})", "{{job}}: {{exporter}}"),
        unit=SHARE,
        width=8,
    )


def _heard() -> Panel:
    return bars(
        About(
            "Time since each source was heard",
            "How long ago the newest value of each source arrived. `span` is silent while nobody calls; the others repeat themselves.",
            "A source that falls silent while others speak: its exporter stopped. After 6 hours it is not shown any more.",
        ),
        Query(_since(f"timestamp({OPERATIONS})"), "{{source}}"),
        unit=SECONDS,
        levels=SILENCE,
        width=12,
    )


def _grown() -> Panel:
    return bars(
        About(
            "Time since each source last grew",
            "How long ago each source counted something new (to within five minutes).",
            "Bars of different length: one source goes on counting what another does not see.",
        ),
        Query(_since(f"timestamp({OPERATIONS}) and changes({OPERATIONS}[5m]) > 0"), "{{source}}"),
        unit=SECONDS,
        width=12,
    )


def _since(moments: str) -> str:
    return f"time() - max by (source) (max_over_time(({moments})[6h:15s]))"


def _superseded(what: str, unit: str) -> Panel:
    expr = q.total(q.of(n.SUPERSEDED[what], q.SDK, *q.RECON), "activity_type", window=HOUR)
    return graph(
        About(
            f"Replaced by a retry: {what} of the last hour",
            "The part of the sums above that belongs to attempts which a later attempt of the step replaced.",
            "It is paid for. A rise means failing or repeated steps: *Operations*, row *Errors and retries*.",
        ),
        Query(_in_dollars(what, expr), "{{activity_type}}"),
        unit=unit,
    )
