"""*Spend*, for finance: what was spent, on what, against which budget, and what one unit of work costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import names as n
from dashboards import promql as q
from dashboards.panels import NUMBER, SHARE, USD, About, Levels, Query, bars, dashboard, graph, listing, note, number

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

COST, CALLS = q.of(n.COST, q.SERVICE, q.ACTIVITY), q.of(n.CALLS, q.SERVICE, q.ACTIVITY)
NO_COST = q.of(n.UNPRICED, q.SERVICE, q.ACTIVITY)
NO_PRICE = q.of(n.UNPRICED, q.SERVICE, q.ACTIVITY, f'{n.STATE}!="unknown"')
NO_USAGE = q.of(n.UNPRICED, q.SERVICE, q.ACTIVITY, f'{n.STATE}="unknown"')
"""A call that the provider turned away: its model may well have a price."""
RETENTION = (
    "Prometheus keeps 15 days unless it is started with `--storage.tsdb.retention.time=40d`; the ledger keeps all: `spanledger report`."
)
REMAINING_DAYS = "scalar(days_in_month() - day_of_month() + 1 - (hour() * 60 + minute()) / 1440)"


def build() -> Dashboard:
    """The dashboard."""
    rows = {
        "Money": _money(),
        "Budgets": [_budgets(), _used()],
        "What it went on (the dashboard's time range)": [_by_model(), _over_time(), *_by_others()],
        "What a unit costs (the dashboard's time range)": _units(),
        "What these figures leave out": [*_known(), _customers()],
    }
    about = "What LLM and plugin calls cost, in USD, by what they were for. The figures come from integer counters of nano-USD."
    return dashboard("spanledger-spend", "Spanledger / Spend", about, rows, span="now-7d")


def _money() -> list[Panel]:
    month = q.usd(q.total(COST))
    forecast = f"{month} + {q.usd(q.total(COST, window='7d'))} / 7 * {REMAINING_DAYS}"
    return [
        number(
            About(
                "Cost today",
                "What all priced calls since midnight (UTC) cost.",
                "Compare with `spanledger report --since today`. Empty: no service sent metrics today; money may have been spent.",
            ),
            Query(q.usd(q.total(COST))),
            unit=USD,
            since="now/d",
        ),
        number(
            About("Cost this month", "What all priced calls since the first of the month (UTC) cost.", f"Too low? {RETENTION}"),
            Query(month),
            unit=USD,
            since="now/M",
        ),
        number(
            About(
                "Forecast to the end of the month",
                "The cost of this month so far, and for the days that remain the average of the last 7 days.",
                "It is too low in the first week after installation, and follows a jump in cost for seven days. " + RETENTION,
            ),
            Query(forecast),
            unit=USD,
            since="now/M",
        ),
        number(
            About(
                "Cost in the time range",
                "What all priced calls in the range chosen above cost.",
                "See *Calls without a cost*: those are missing.",
            ),
            Query(q.usd(q.total(COST))),
            unit=USD,
        ),
        number(
            About("Calls in the time range", "Calls in the books, priced or not.", "No calls at all: look at *Books*, row *Freshness*."),
            Query(q.total(CALLS)),
            unit=NUMBER,
        ),
        number(
            About(
                "Fullest budget",
                "The largest share of any budget that is spent or reserved.",
                "Above 100 % a budget was overdrawn: calls in flight cost more than estimated, or it only warns. See *Guard*.",
            ),
            Query(f"max({q.budget_used()})"),
            unit=SHARE,
            levels=Levels(0.8, 1),
        ),
    ]


def _budgets() -> Panel:
    return listing(
        About(
            "Limits and what is spent of them",
            "Limit, spent and reserved of each budget, in USD, tokens or calls; of a budget per customer, user or run the fullest account.",
            "`spanledger budgets` shows every account. A budget that is missing here had no call in its window, or its text was not "
            "understood: `spanledger status` says so.",
        ),
        {
            "Limit": (q.budget_shown("limit"), NUMBER),
            "Spent": (q.budget_shown("spent"), NUMBER),
            "Reserved": (q.budget_shown("reserved"), NUMBER),
            "Used": (q.budget_used(), SHARE),
        },
        {n.BUDGET_NAME: "Budget", n.BUDGET_UNIT: "Unit"},
        width=14,
    )


def _used() -> Panel:
    return bars(
        About(
            "Share of each budget used",
            "Spent and reserved, as a share of the limit.",
            "Red: calls are being refused, or soon will be. See *Guard*.",
        ),
        Query(q.budget_used(), f"{{{{{n.BUDGET_NAME}}}}}"),
        unit=SHARE,
        levels=Levels(0.8, 1),
        width=10,
    )


def _by_model() -> Panel:
    return listing(
        About(
            "By model",
            "Cost, calls and calls without a price, by model (or plugin) and provider.",
            "A model with calls but no cost has no price: add one in the file that SPANLEDGER_PRICES names.",
        ),
        {
            "Cost": (q.usd(q.total(COST, n.MODEL, n.PROVIDER)), USD),
            "Calls": (q.total(CALLS, n.MODEL, n.PROVIDER), NUMBER),
            "Without a price": (q.total(NO_PRICE, n.MODEL, n.PROVIDER), NUMBER),
        },
        {n.MODEL: "Model", n.PROVIDER: "Provider"},
    )


def _over_time() -> Panel:
    return graph(
        About(
            "Cost of the last hour, by activity",
            "At every moment, what the hour before it cost.",
            "A step that stays: a new feature, model or customer; the table on the left says which model.",
        ),
        Query(q.usd(q.total(COST, n.ACTIVITY, window="1h")), f"{{{{{n.ACTIVITY}}}}}"),
        unit=USD,
        stacked=True,
    )


def _by_others() -> list[Panel]:
    def by(label: str, word: str, hint: str) -> Panel:
        about = About(f"By {word}", f"Cost of priced calls by {word}.", hint)
        return bars(about, Query(f"sort_desc({q.usd(q.total(COST, label))})", f"{{{{{label}}}}}"), unit=USD)

    return [
        by(n.PROVIDER, "provider", "A provider you do not know: some program has a key that it should not have."),
        by(n.ACTIVITY, "activity", "Calls of a step are booked to its `activity`; a wrong one is set where the step is made."),
        by(n.SERVICE, "service", "`unknown_service` means that OTEL_SERVICE_NAME is not set for some program."),
    ]


def _units() -> list[Panel]:
    llm = 'activity_type!="plugin"'
    cost, tokens = q.of(n.RECON_COST, q.SDK, llm, *q.RECON), q.of(n.TOKENS, q.SDK, llm, *q.RECON)
    runs, in_runs = q.of(n.WORKFLOW, q.SERVICE, suffix="_count"), q.of(n.RECON_COST, 'source="execution"', *q.RECON)
    priced = f"({q.total(CALLS)} - ({q.total(NO_COST)} or vector(0)))"
    return [
        number(
            About("Per call", "Cost divided by the calls that have a price.", "A jump: longer prompts, or another model. See *By model*."),
            Query(f"{q.usd(q.total(COST))} / {priced}"),
            unit=USD,
            width=8,
        ),
        number(
            About(
                "Per 1,000 tokens",
                "Cost of model calls for each 1,000 tokens, of all types together.",
                "It falls when more input is read from the cache, and rises with the share of output; see *Operations*, row *Tokens*.",
            ),
            Query(f"{q.usd(q.total(cost))} / ({q.total(tokens)} / 1000)"),
            unit=USD,
            width=8,
        ),
        number(
            About(
                "Per workflow run",
                "What the workflow runs added up themselves, divided by their number.",
                "Replaced attempts are part of it. `spanledger report --by workflow` shows each kind of run.",
            ),
            Query(f"{q.usd(q.total(in_runs))} / {q.total(runs)}"),
            unit=USD,
            width=8,
        ),
    ]


def _known() -> list[Panel]:
    return [
        number(
            About(
                "Calls without a cost",
                "Share of calls whose cost is unknown, and in no sum on this page: their model has no price, or the provider turned them "
                "away and said no usage.",
                "No price: *Guard* lists the models; give them one in the file that SPANLEDGER_PRICES names. No usage: see "
                "*Operations*, row *Errors and retries*.",
            ),
            Query(q.share(q.total(NO_PRICE), q.total(CALLS)), "no price"),
            Query(q.share(q.total(NO_USAGE), q.total(CALLS)), "no usage"),
            unit=SHARE,
            levels=Levels(0.0001, 0.05),
            width=6,
        ),
        number(
            About(
                "Calls by how well their usage is known",
                "`exact`: the provider said it. `estimated`: counted from what was seen, as of an abandoned stream. `unknown`: neither.",
                "Many estimated streams: set SPANLEDGER_STREAM_USAGE=true, so that the provider is asked for the usage of streams.",
            ),
            Query(f"{q.total(CALLS, n.STATE)} / on () group_left () {q.total(CALLS)}", f"{{{{{n.STATE}}}}}"),
            unit=SHARE,
            width=6,
        ),
    ]


def _customers() -> Panel:
    return note(
        About("By customer, team or user", "Why there is no panel for them.", "Nothing here can go wrong."),
        "Customers, teams and users are no labels of these metrics, on purpose: there is no bound to their number, and they may be "
        "personal data. They are in the ledger:\n\n"
        "`spanledger report --by customer` · `spanledger report --by customer --by model --since 30d`",
        width=12,
    )
