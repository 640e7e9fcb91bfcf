"""Tells of what happens to budgets: in metrics, the log, to subscribers, and on the span of the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger import figures
from spanledger.engine.call import current_call
from spanledger.engine.guard import log
from spanledger.engine.runtime import active
from spanledger.telemetry import semconv

if TYPE_CHECKING:
    from spanledger.budgets.gate import Notice


def tell(notice: Notice) -> None:
    """A budget crossed a threshold or refused a call: metric, log record, subscribers, and an event on the call's span."""
    runtime = active()
    if runtime is None:
        return
    attributes = _attributes(notice)
    call = runtime.open_calls.get(notice.entry_id) if notice.entry_id else None
    if notice.kind == semconv.EVENT_BUDGET_REFUSED:
        runtime.metrics.refusals.add(((semconv.BUDGET_NAME, notice.budget or notice.reason), (semconv.BUDGET_UNIT, str(notice.unit))))
    elif (inside := call or current_call()) is not None:
        inside.span.add_event(semconv.EVENT_PREFIX + notice.kind, attributes)
    named = f"{notice.budget} for {notice.scope}" if notice.scope else notice.budget
    if notice.kind == semconv.EVENT_BUDGET_THRESHOLD:  # a refusal reaches the caller as an exception with all of this in its message
        log.warning("budget %s: %s %% of %s spent", named, notice.percent, figures.amount(notice.limit, notice.unit))
    else:
        log.warning("%s refused a call%s", f"budget {named}" if named else "spanledger", f": {notice.reason}" if notice.reason else "")
    runtime.events.emit(notice.kind, attributes)


def _attributes(notice: Notice) -> dict[str, Any]:
    attributes = {
        semconv.BUDGET_NAME: notice.budget, semconv.BUDGET_SCOPE: notice.scope, semconv.BUDGET_UNIT: str(notice.unit),
        semconv.BUDGET_LIMIT: notice.limit, semconv.BUDGET_SPENT: notice.spent, semconv.BUDGET_RESERVED: notice.reserved,
        semconv.BUDGET_ASKED: notice.asked, semconv.BUDGET_PERCENT: notice.percent, semconv.BUDGET_WINDOW_END: notice.window_end,
        semconv.BUDGET_REASON: notice.reason or None, semconv.EXECUTION_ID: notice.execution, semconv.ENTRY_ID: notice.entry_id,
    }  # fmt: skip
    return {name: value for name, value in attributes.items() if value is not None}
