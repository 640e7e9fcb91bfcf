"""A trace as a tree: the spans as they were exported, with the numbers that the books have for them now."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from spanledger.errors import ConfigurationError
from spanledger.model import CostStatus, State, Unit
from spanledger.report import words
from spanledger.report.queries import money_json
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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


def find(store: SpanStore, prefix: str | None) -> list[SpanRow]:
    """The spans of the trace whose id starts with ``prefix``, or of the newest one.

    Raises ConfigurationError if there is none, or more than one.
    """
    given = (prefix or "").strip().lower().removeprefix("0x")
    if given and not set(given) <= set("0123456789abcdef"):
        raise ConfigurationError(_TRACE, f"{prefix!r} is no trace id", "hexadecimal digits, the first few are enough")
    spans = store.trace(given) if given else _newest(store)
    if not spans:
        where = f"no trace here starts with {prefix!r}" if given else "no spans are kept here yet"
        raise ConfigurationError(_TRACE, where, "a trace that was run with `spanledger run` or OTEL_TRACES_EXPORTER=spanledger")
    if len({span.trace_id for span in spans}) > 1:
        raise ConfigurationError(_TRACE, f"several traces start with {prefix!r}", "more digits")
    return spans


def _newest(store: SpanStore) -> list[SpanRow]:
    return [span for trace_id, _, _ in store.recent(1) for span in store.trace(trace_id)]


def grow(spans: Sequence[SpanRow], entries: Iterable[Entry]) -> list[Node]:
    """The roots: spans without a parent, and those whose parent was not exported here (another service, an unsampled span)."""
    booked = {entry.span_id: entry for entry in entries}
    nodes = {span.span_id: Node(span, booked.get(span.span_id)) for span in sorted(spans, key=lambda span: span.start_ns)}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id or "")
        (parent.children if parent is not None and parent is not node else roots).append(node)
    return roots


def tree_view(trace_id: str, roots: Sequence[Node]) -> Tree:
    """The tree for the terminal."""
    top = Tree(Text.assemble("trace ", (trace_id, "bold"), _service(roots)), guide_style="dim")
    for root in roots:
        _add(top, root)
    return top


def _service(roots: Sequence[Node]) -> str:
    name = roots[0].span.resource.get("service.name") if roots else None
    return f" of {name}" if name else ""


def _add(parent: Tree, node: Node) -> None:
    branch = parent.add(_headline(node))
    for line in _details(node):
        branch.add(line)
    for child in node.children:
        _add(branch, child)


def _headline(node: Node) -> Text:
    text = Text.assemble((node.span.name, "bold"), f"  {words.seconds(node.seconds)}")
    attempt = node.span.attributes.get(s.STEP_ATTEMPT)
    if attempt and node.entry is None and attempt > 1:
        text.append(f"  attempt {attempt}", style="yellow")
    if node.entry is not None:
        text.append("  " + "  ".join(_figures(node.entry)))
        if doubts := _doubts(node.entry):
            text.append(f"  {doubts}", style="yellow")
    if error := node.span.attributes.get(s.ERROR_TYPE):
        text.append(f"  {'refused' if _refused(node) else 'error'}: {error}", style="red")
    elif node.span.status == "error":
        text.append("  error", style="red")
    return text


def _figures(entry: Entry) -> Iterator[str]:
    usage = entry.usage
    if usage.input is not None or usage.output is not None:
        yield f"{words.count(usage.input)} → {words.count(usage.output)} tokens"
    if usage.cache_read:
        yield f"{words.count(usage.cache_read)} from cache"
    if usage.reasoning:
        yield f"{words.count(usage.reasoning)} reasoning"
    yield words.usd(entry.cost.nano_usd)


def _doubts(entry: Entry) -> str:
    state = entry.usage.state
    found = [
        state.value if state is not State.EXACT else "",
        entry.cost.status.value if entry.cost.status in (CostStatus.PARTIAL, CostStatus.UNPRICED) else "",
        "superseded" if entry.superseded else "",
    ]
    return ", ".join(word for word in found if word)


def _refused(node: Node) -> bool:
    return any(event.get("name") == _REFUSED for event in node.span.events)


_REFUSED = s.EVENT_PREFIX + s.EVENT_BUDGET_REFUSED


def _details(node: Node) -> Iterator[Text]:
    for event in node.span.events:
        if event.get("name") == _REFUSED:
            yield Text(_refusal(event.get("attributes", {})), style="red")
    for attribute, label in _CONTENT.items():
        if attribute in node.span.attributes:
            yield Text(f"{label}: {_shorten(readable(node.span.attributes[attribute]))}", style="dim")


def _refusal(attributes: dict[str, Any]) -> str:
    """The refusal in one sentence; the call was never sent."""
    unit = Unit(attributes.get(s.BUDGET_UNIT, Unit.CALLS))
    amounts = {"limit": s.BUDGET_LIMIT, "spent": s.BUDGET_SPENT, "reserved": s.BUDGET_RESERVED, "asked": s.BUDGET_ASKED}
    told = ", ".join(f"{name} {words.amount(attributes[key], unit)}" for name, key in amounts.items() if key in attributes)
    whom = f" for {attributes[s.BUDGET_SCOPE]}" if attributes.get(s.BUDGET_SCOPE) else ""
    return f"budget {attributes.get(s.BUDGET_NAME)}{whom} refused it, nothing was sent: {told}"


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
    parts = message.get("parts", [message])
    text = " ".join(str(part.get("content", part.get("arguments", part.get("response", part)))) for part in parts if isinstance(part, dict))
    return f"{message['role']}: {text}" if "role" in message else text


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def tree_json(trace_id: str, roots: Sequence[Node]) -> dict[str, Any]:
    """The tree for programs."""
    return {"trace_id": trace_id, "spans": [_node_json(root) for root in roots]}


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
