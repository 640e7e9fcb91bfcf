"""A trace as a tree: the spans as they were exported, with the numbers that the books have for them now."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from spanledger import figures, outside
from spanledger.errors import ConfigurationError
from spanledger.ledger.sums import add_entry
from spanledger.model import Activity, State, Total, Unit
from spanledger.report import words
from spanledger.report.queries import money_json
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanRow, SpanStore
    from spanledger.model import Entry

_CONTENT = {
    s.SYSTEM_INSTRUCTIONS: "system",
    s.INPUT_MESSAGES: "input",
    s.OUTPUT_MESSAGES: "output",
    s.TOOL_ARGUMENTS: "arguments",
    s.TOOL_RESULT: "result",
}
_TRACE = "TRACE_ID"
_KEPT = "a trace of a program that ran with `spanledger run` or OTEL_TRACES_EXPORTER=spanledger"
_INDENT = 4
"""Columns of one level of a tree."""
_LONGEST = 240
"""Characters of captured content shown in the tree; ``--json`` has all of it."""


@dataclass
class Node:
    """One span with its entry in the books, if it is a counted call, and the spans below it in the order of their start."""

    span: SpanRow
    entry: Entry | None
    children: list[Node] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """How long the span took; None while it has not ended."""
        return (self.span.end_ns - self.span.start_ns) / 1e9 if self.span.end_ns else None


@dataclass(frozen=True)
class Trace:
    """The spans of one trace; ``roots`` have no parent, or one that was not exported here (another service, an unsampled span)."""

    id: str
    roots: list[Node]


def find(store: SpanStore | None, prefix: str | None, last: int) -> list[list[SpanRow]]:
    """The spans of the trace whose id starts with ``prefix``, or of the ``last`` newest traces, newest last; no store has none.

    Raises ConfigurationError if there is none, or the prefix fits more than one.
    """
    if store is None:
        raise ConfigurationError(_TRACE, "no spans are kept here yet", _KEPT)
    if not prefix:
        found = [store.trace(trace_id) for trace_id, _, _ in reversed(store.recent(last))]
        if not found:
            raise ConfigurationError(_TRACE, "no spans are kept here yet", _KEPT)
        return found
    if not set(prefix.lower()) <= set("0123456789abcdef"):
        raise ConfigurationError(_TRACE, f"{prefix!r} is no trace id", "hexadecimal digits, the first few are enough")
    spans = store.trace(prefix)
    if not spans:
        raise ConfigurationError(_TRACE, f"no trace here starts with {prefix!r}", _KEPT)
    if len({span.trace_id for span in spans}) > 1:
        raise ConfigurationError(_TRACE, f"several traces start with {prefix!r}", "more digits")
    return [spans]


def grow(spans: Sequence[SpanRow], ledger: Ledger) -> Trace:
    """Puts the spans of one trace below their parents, each with its entry in the books."""
    trace_id = spans[0].trace_id
    booked = {entry.span_id: entry for entry in ledger.entries(trace_id=trace_id)}
    nodes = {span.span_id: Node(span, booked.get(span.span_id)) for span in sorted(spans, key=lambda span: span.start_ns)}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id or "")
        (parent.children if parent is not None and parent is not node else roots).append(node)
    return Trace(trace_id, roots)


def traces_view(traces: Sequence[Trace], width: int) -> Group:
    """The trees for the terminal, indented up to the middle of its width."""
    levels = max(1, width // 2 // _INDENT)
    return Group(*(_tree(trace, levels) for trace in traces))


def _tree(trace: Trace, levels: int) -> Tree:
    """Spans below ``levels`` stand beside their parents, with their level: agents that call themselves go deeper than it is wide."""
    top = Tree(Text.assemble("trace ", (trace.id, "bold"), _service(trace.roots)), guide_style="dim")
    waiting = [(top, root, 1) for root in reversed(trace.roots)]
    while waiting:
        above, node, level = waiting.pop()
        branch = above.add(Text.assemble((f"level {level}: ", "dim") if level > levels else "", _headline(node)))
        for line in _details(node):
            branch.add(line)
        below = branch if level < levels else above
        waiting += [(below, child, level + 1) for child in reversed(node.children)]
    return top


def _service(roots: Sequence[Node]) -> str:
    name = roots[0].span.resource.get("service.name") if roots else None
    return f" of {outside.plain(str(name))}" if name else ""


def _headline(node: Node) -> Text:
    text = Text.assemble((outside.plain(node.span.name), "bold"), f"  {words.seconds(node.seconds)}")
    attempt = node.span.attributes.get(s.STEP_ATTEMPT)
    if attempt and node.entry is None and attempt > 1:
        text.append(f"  attempt {attempt}", style="yellow")
    if node.entry is not None:
        text.append("  " + "  ".join(_figures(node.entry)))
        if doubts := _doubts(node.entry):
            text.append(f"  {doubts}", style="yellow")
    if error := node.span.attributes.get(s.ERROR_TYPE):
        text.append(f"  {'refused' if _refused(node) else 'error'}: {outside.plain(str(error))}", style="red")
    elif node.span.status == "error":
        text.append("  error", style="red")
    return text


def _figures(entry: Entry) -> Iterator[str]:
    usage = entry.usage
    if entry.activity is Activity.PLUGIN:  # has a price in one of two units
        yield f"{figures.count(usage.total)} tokens" if usage.total else figures.usd(entry.cost.nano_usd)
        return
    if usage.output is None and usage.state is State.EXACT:  # embeddings have no output
        yield f"{figures.count(usage.input)} tokens"
    elif usage.input is not None or usage.output is not None:
        yield f"{figures.count(usage.input)} → {figures.count(usage.output)} tokens"
    if usage.cache_read:
        yield f"{figures.count(usage.cache_read)} from cache"
    if usage.reasoning:
        yield f"{figures.count(usage.reasoning)} reasoning"
    yield figures.usd(entry.cost.nano_usd)


def _doubts(entry: Entry) -> str:
    total = Total({})
    add_entry(total, entry)
    total.errors = 0  # told by the span
    return ", ".join([*words.doubts(total), *(["superseded"] if entry.superseded else [])])


def _refused(node: Node) -> bool:
    return any(event.get("name") == _REFUSED for event in node.span.events)


_REFUSED = s.EVENT_PREFIX + s.EVENT_BUDGET_REFUSED


def _details(node: Node) -> Iterator[Text]:
    for event in node.span.events:
        if event.get("name") == _REFUSED:
            yield Text(outside.plain(_refusal(event.get("attributes", {}))), style="red")
    for attribute, label in _CONTENT.items():
        if attribute in node.span.attributes:
            yield Text(f"{label}: {_shorten(readable(node.span.attributes[attribute]))}", style="dim")


def _refusal(attributes: dict[str, Any]) -> str:
    """The refusal in one sentence; the call was never sent."""
    name, reason = attributes.get(s.BUDGET_NAME), attributes.get(s.BUDGET_REASON)
    whom = f" for {attributes[s.BUDGET_SCOPE]}" if attributes.get(s.BUDGET_SCOPE) else ""
    refused = f"budget {name}{whom} refused it" if name else "it was refused"
    if reason:
        return f"{refused}, nothing was sent: {reason}"
    unit = Unit(attributes.get(s.BUDGET_UNIT, Unit.CALLS))
    amounts = {"limit": s.BUDGET_LIMIT, "spent": s.BUDGET_SPENT, "reserved": s.BUDGET_RESERVED, "asked": s.BUDGET_ASKED}
    told = ", ".join(f"{name} {figures.amount(attributes[key], unit)}" for name, key in amounts.items() if key in attributes)
    return f"{refused}, nothing was sent: {told}"


def readable(content: Any) -> str:
    """Captured content as text: the words of each message behind its role; anything else as it is."""
    try:
        parsed = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        return str(content)
    if not isinstance(parsed, list):
        return str(content)
    return " / ".join(_message(part) for part in parsed)


def _message(message: Any) -> str:
    if not isinstance(message, dict):
        return str(message)
    parts = message["parts"] if isinstance(message.get("parts"), list) else [message]
    text = " ".join(str(part.get("content", part.get("arguments", part.get("response", part)))) for part in parts if isinstance(part, dict))
    return f"{message['role']}: {text}" if "role" in message else text


def _shorten(text: str) -> str:
    line = outside.plain(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def trace_json(trace: Trace) -> dict[str, Any]:
    """A tree for programs. Raises RecursionError if its spans are nested deeper than JSON can be written."""
    return {"trace_id": trace.id, "spans": [_node_json(root) for root in trace.roots]}


def _node_json(node: Node) -> dict[str, Any]:
    span = node.span
    return {
        "span_id": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "start_ns": span.start_ns,
        "seconds": node.seconds,
        "status": span.status,
        "attributes": span.attributes,
        "events": span.events,
        "entry": _entry_json(node.entry) if node.entry else None,
        "children": [_node_json(child) for child in node.children],
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "activity": entry.activity.value,
        "input_tokens": entry.usage.input,
        "output_tokens": entry.usage.output,
        "state": entry.usage.state.value,
        **money_json(entry.cost.nano_usd),
        "cost_status": entry.cost.status.value,
        "superseded": entry.superseded,
        "error": entry.error,
    }
