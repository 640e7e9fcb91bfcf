"""*Operations*, for who is on call: how many calls, how fast, which fail, what they waste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import names as n
from dashboards import promql as q
from dashboards.panels import NUMBER, PER_SECOND, SECONDS, SHARE, TOKENS_PER_SECOND, About, Levels, Query, dashboard, graph, number

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

REQUESTS = q.of(n.DURATION, q.SERVICE, suffix="_count")
FAILED = q.of(n.DURATION, q.SERVICE, f'{n.ERROR_TYPE}!=""', suffix="_count")
TOKENS = q.of(n.TOKENS, q.SDK, *q.RECON)
QUANTILES = (0.5, 0.95, 0.99)


def build() -> Dashboard:
    """The dashboard."""
    rows = {
        "At a glance (the dashboard's time range)": _glance(),
        "Requests": [_requests(), _latency(), _first_chunk(), _latency_by_model()],
        "Errors and retries": [_errors_by_type(), _errors_by_model(), _retries()],
        "Tokens": [_throughput(), _cache()],
        "Tools": [_tool_calls(), _tool_duration()],
        "Workflows": [_runs(), _run_duration()],
    }
    about = "Rate, latency and errors of model calls, tools and workflow runs. Dots on the latency panels are traces, opened in Jaeger."
    return dashboard("spanledger-operations", "Spanledger / Operations", about, rows, span="now-3h")


def _glance() -> list[Panel]:
    cached, asked = (
        q.of(n.TOKENS, q.SDK, 'token_type="cache_read"', *q.RECON),
        q.of(n.TOKENS, q.SDK, 'token_type=~"input|cache_.*"', *q.RECON),
    )
    replaced, operations = q.of(n.SUPERSEDED["operations"], q.SDK, *q.RECON), q.of(n.OPERATIONS, q.SDK, *q.RECON)
    return [
        number(
            About(
                "Model calls",
                "Calls to model providers.",
                "None: look at *Books*, row *Freshness*, before you believe that there were none.",
            ),
            Query(q.total(REQUESTS)),
            unit=NUMBER,
            width=6,
        ),
        number(
            About("Failed", "Share of model calls that ended with an error.", "The panels *Errors* below say of which kind and model."),
            Query(q.share(q.total(FAILED), q.total(REQUESTS))),
            unit=SHARE,
            levels=Levels(0.01, 0.05),
            width=6,
        ),
        number(
            About(
                "Replaced by a retry",
                "Share of operations that belong to an attempt of a step which a later attempt replaced: paid for, but of no use.",
                "Look for the step: `spanledger report --by step`. Often an output limit is too low or a tool fails.",
            ),
            Query(q.share(q.total(replaced), q.total(operations))),
            unit=SHARE,
            levels=Levels(0.05, 0.2),
            width=6,
        ),
        number(
            About(
                "Read from the cache",
                "Share of input tokens that the provider read from its prompt cache.",
                "A fall: something at the beginning of the prompts changes from call to call, such as a date.",
            ),
            Query(q.share(q.total(cached), q.total(asked))),
            unit=SHARE,
            width=6,
        ),
    ]


def _requests() -> Panel:
    return graph(
        About(
            "Requests per second, by model",
            "Calls to model providers that ended.",
            "A gap in all models at once is a gap in telemetry, see *Books*.",
        ),
        Query(q.per_second(REQUESTS, n.MODEL), f"{{{{{n.MODEL}}}}}"),
        unit=PER_SECOND,
        stacked=True,
    )


def _latency() -> Panel:
    return graph(
        About(
            "Duration of model calls",
            "Half of the calls, 95 % and 99 % of them took less than this. Streams count until their last chunk.",
            "Open a dot: the trace says whether the provider was slow or the answer long.",
        ),
        *[Query(q.quantile(share, n.DURATION, q.SERVICE), f"p{share * 100:g}", exemplars=True) for share in QUANTILES],
        unit=SECONDS,
    )


def _first_chunk() -> Panel:
    return graph(
        About(
            "Time to the first chunk",
            "How long the reader of a stream waits for its first chunk.",
            "It rises with the length of the input, and when the cache is missed.",
        ),
        *[Query(q.quantile(share, n.FIRST_CHUNK, q.SERVICE), f"p{share * 100:g}", exemplars=True) for share in QUANTILES],
        unit=SECONDS,
    )


def _latency_by_model() -> Panel:
    return graph(
        About(
            "Duration of 95 % of calls, by model",
            "95 % of the calls of each model took less than this.",
            "One model alone: its provider. All: this network.",
        ),
        Query(q.quantile(0.95, n.DURATION, q.SERVICE, by=(n.MODEL,)), f"{{{{{n.MODEL}}}}}"),
        unit=SECONDS,
    )


def _errors_by_type() -> Panel:
    return graph(
        About(
            "Errors per second, by type",
            "Calls that ended with an error, by `error.type`: the exception's class or the HTTP status.",
            "`RateLimitError` is a limit of the provider's. Calls that a budget refused were never sent and are not here: see *Guard*.",
        ),
        Query(q.per_second(FAILED, n.ERROR_TYPE), f"{{{{{n.ERROR_TYPE}}}}}"),
        unit=PER_SECOND,
        stacked=True,
        width=8,
    )


def _errors_by_model() -> Panel:
    return graph(
        About(
            "Share of failed calls, by model",
            "Failed calls as a share of all calls of the model.",
            "Near 100 %: the name, the key or the region is wrong.",
        ),
        Query(f"{q.per_second(FAILED, n.MODEL)} / {q.per_second(REQUESTS, n.MODEL)}", f"{{{{{n.MODEL}}}}}"),
        unit=SHARE,
        width=8,
    )


def _retries() -> Panel:
    return graph(
        About(
            "Operations replaced by a retry, per hour",
            "At every moment, how many operations of the hour before it belong to an attempt that was replaced, by activity.",
            "They are consumed, not billable: `spanledger report` shows both sums.",
        ),
        Query(q.total(q.of(n.SUPERSEDED["operations"], q.SDK, *q.RECON), "activity_type", window="1h"), "{{activity_type}}"),
        unit=NUMBER,
        width=8,
    )


def _throughput() -> Panel:
    return graph(
        About(
            "Tokens per second, by type",
            "Types never overlap: `input` is what was not cached, `output` is without reasoning.",
            "Much `cache_write` and little `cache_read`: the cache is paid for and not used.",
        ),
        Query(q.per_second(TOKENS, "token_type"), "{{token_type}}"),
        unit=TOKENS_PER_SECOND,
        stacked=True,
    )


def _cache() -> Panel:
    of_type = [
        q.per_second(q.of(n.TOKENS, q.SDK, f'token_type=~"{types}"', *q.RECON), "activity_type")
        for types in ("cache_read", "input|cache_.*")
    ]
    return graph(
        About(
            "Share of input read from the cache, by activity",
            "Tokens read from the provider's prompt cache, of all input tokens.",
            "See *Read from the cache*.",
        ),
        Query(f"{of_type[0]} / {of_type[1]}", "{{activity_type}}"),
        unit=SHARE,
    )


def _tool_calls() -> Panel:
    calls, failed = q.of(n.TOOL, q.SERVICE, suffix="_count"), q.of(n.TOOL, q.SERVICE, f'{n.ERROR_TYPE}!=""', suffix="_count")
    name = f"{{{{{n.TOOL_NAME}}}}}"
    return graph(
        About(
            "Tool calls per second",
            "Calls of plugins (tools) and of them those that raised an error, by tool.",
            "A tool that is called in a loop: look at a trace of its workflow.",
        ),
        Query(q.per_second(calls, n.TOOL_NAME), name),
        Query(q.per_second(failed, n.TOOL_NAME), f"{name} failed"),
        unit=PER_SECOND,
    )


def _tool_duration() -> Panel:
    return graph(
        About(
            "Duration of 95 % of tool calls, by tool",
            "95 % of the calls of each tool took less than this.",
            "The dots are traces: open one of a slow call.",
        ),
        Query(q.quantile(0.95, n.TOOL, q.SERVICE, by=(n.TOOL_NAME,)), f"{{{{{n.TOOL_NAME}}}}}", exemplars=True),
        unit=SECONDS,
    )


def _runs() -> Panel:
    runs, failed = q.of(n.WORKFLOW, q.SERVICE, suffix="_count"), q.of(n.WORKFLOW, q.SERVICE, f'{n.ERROR_TYPE}!=""', suffix="_count")
    name = f"{{{{{n.WORKFLOW_NAME}}}}}"
    return graph(
        About(
            "Workflow runs of the last hour",
            "Runs that ended, and of them those that failed, by workflow.",
            "`spanledger report --by workflow` says what the failed ones cost.",
        ),
        Query(q.total(runs, n.WORKFLOW_NAME, window="1h"), name),
        Query(q.total(failed, n.WORKFLOW_NAME, window="1h"), f"{name} failed"),
        unit=NUMBER,
    )


def _run_duration() -> Panel:
    return graph(
        About(
            "Duration of workflow runs",
            "Half of the runs and 95 % of them took less than this.",
            "Compare with the duration of model calls and of tools above.",
        ),
        *[Query(q.quantile(share, n.WORKFLOW, q.SERVICE), f"p{share * 100:g}", exemplars=True) for share in QUANTILES[:2]],
        unit=SECONDS,
    )
