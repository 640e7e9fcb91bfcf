"""*Guard*, for privacy, security and the owners of budgets: what was refused, what was masked, what went wrong inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import names as n
from dashboards import promql as q
from dashboards.panels import NUMBER, SHARE, About, Levels, Query, bars, dashboard, graph, listing, number

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

REFUSALS, REDACTIONS = q.of(n.REFUSALS, q.SERVICE), q.of(n.REDACTIONS, q.SERVICE)
ERRORS, UNPRICED = q.of(n.INTERNAL_ERRORS, q.SERVICE), q.of(n.UNPRICED, q.SERVICE, q.ACTIVITY, f'{n.STATE}!="unknown"')
NOT_REDACTED = q.of(n.INTERNAL_ERRORS, q.SERVICE, f'{n.ERROR_PLACE}="redaction"')
CALLS = q.of(n.CALLS, q.SERVICE)


def build() -> Dashboard:
    """The dashboard."""
    rows = {
        "At a glance (the dashboard's time range)": _glance(),
        "Budgets": [_refusals(), _refusals_over_time(), _near_limit()],
        "Privacy": [_redactions(), _redactions_over_time()],
        "Inside Spanledger": [_errors(), _unpriced()],
    }
    about = "Whether the limits hold: refused calls, masked values, errors inside Spanledger, models without a price."
    return dashboard("spanledger-guard", "Spanledger / Guard", about, rows)


def _counted(selector: str) -> Query:
    """A counter that nobody ever raised is 0, as long as there are calls in the books at all."""
    return Query(q.none_or(q.total(selector), q.total(CALLS)))


def _glance() -> list[Panel]:
    return [
        number(
            About(
                "Refused calls",
                "Calls that a budget refused before they were sent.",
                "They cost nothing. Raise the limit, or find who spends: `spanledger report --by customer`.",
            ),
            _counted(REFUSALS),
            unit=NUMBER,
            levels=Levels(1, 100),
            width=6,
        ),
        number(
            About(
                "Masked values",
                "Personal data and secrets that were replaced before anything was exported.",
                "Zero for a long time, with content captured: check SPANLEDGER_REDACTION.",
            ),
            _counted(REDACTIONS),
            unit=NUMBER,
            width=6,
        ),
        number(
            About(
                "Redaction failures",
                "Spans and log records whose contents were dropped because redacting them failed. Nothing unredacted was exported.",
                "Report it as a bug, with the warning in the application's log.",
            ),
            _counted(NOT_REDACTED),
            unit=NUMBER,
            levels=Levels(1, 1),
            width=6,
        ),
        number(
            About(
                "Internal errors",
                "Errors inside Spanledger. None of them reached the application.",
                "The panel *Internal errors, by place* says where; the application's log has a line for each place.",
            ),
            _counted(ERRORS),
            unit=NUMBER,
            levels=Levels(1, 10),
            width=6,
        ),
    ]


def _refusals() -> Panel:
    return bars(
        About(
            "Refused calls, by budget",
            "Calls that each budget refused in the time range.",
            "`spanledger budgets` shows each account of the budget and when it starts anew.",
        ),
        Query(f"sort_desc({q.total(REFUSALS, n.BUDGET_NAME)})", f"{{{{{n.BUDGET_NAME}}}}}"),
        unit=NUMBER,
    )


def _refusals_over_time() -> Panel:
    return graph(
        About(
            "Refused calls of the last hour, by budget",
            "At every moment, how many calls of the hour before it were refused.",
            "A wall at the same hour every day: the budget is spent by then.",
        ),
        Query(q.total(REFUSALS, n.BUDGET_NAME, window="1h"), f"{{{{{n.BUDGET_NAME}}}}}"),
        unit=NUMBER,
        stacked=True,
        width=8,
    )


def _near_limit() -> Panel:
    return listing(
        About(
            "Budgets near their limit",
            "Budgets of which 80 % or more is spent or reserved; of a budget per customer, user or run the fullest account. Budgets "
            "belong to the ledger, so the choice of a service does not change this list.",
            "At 100 % calls are refused, or a warning is written if the budget only warns.",
        ),
        {"Used": (f"sort_desc({q.budget_used()} >= 0.8)", SHARE)},
        {n.BUDGET_NAME: "Budget", n.BUDGET_UNIT: "Unit"},
        width=8,
    )


def _redactions() -> Panel:
    return bars(
        About(
            "Masked values, by kind",
            "What was masked in the time range: e-mail addresses, keys, card numbers and so on.",
            "Secrets in prompts or arguments: rotate them, a provider has seen them.",
        ),
        Query(f"sort_desc({q.total(REDACTIONS, n.KIND_OF_VALUE)})", f"{{{{{n.KIND_OF_VALUE}}}}}"),
        unit=NUMBER,
    )


def _redactions_over_time() -> Panel:
    return graph(
        About(
            "Masked values of the last hour, by kind",
            "At every moment, how many values of the hour before it were masked.",
            "A new kind: some program began to send data that it did not send before.",
        ),
        Query(q.total(REDACTIONS, n.KIND_OF_VALUE, window="1h"), f"{{{{{n.KIND_OF_VALUE}}}}}"),
        unit=NUMBER,
        stacked=True,
        width=16,
    )


def _errors() -> Panel:
    return bars(
        About(
            "Internal errors, by place",
            "Where inside Spanledger errors happened in the time range.",
            "`gate`, `ledger` or `spool`: the ledger cannot be reached; calls pass unless "
            "SPANLEDGER_ON_LEDGER_ERROR=block. `subscriber`: your own function raised.",
        ),
        Query(f"sort_desc({q.total(ERRORS, n.ERROR_PLACE)})", f"{{{{{n.ERROR_PLACE}}}}}"),
        unit=NUMBER,
        width=12,
    )


def _unpriced() -> Panel:
    return listing(
        About(
            "Calls without a price, by model",
            "Models that no price is known for. A budget in USD cannot hold them unless SPANLEDGER_ON_UNPRICED=block.",
            "Give them a price in the file that SPANLEDGER_PRICES names.",
        ),
        {"Calls": (f"sort_desc({q.total(UNPRICED, n.MODEL, n.PROVIDER)})", NUMBER)},
        {n.MODEL: "Model", n.PROVIDER: "Provider"},
    )
