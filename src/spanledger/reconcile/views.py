"""A reconciliation as a person reads it in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from spanledger.figures import decimal
from spanledger.model import State
from spanledger.outside import plain
from spanledger.reconcile.difference import HARMLESS, Kind, moment
from spanledger.reconcile.sums import TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from spanledger.ledger.facts import Fact
    from spanledger.reconcile.compare import Comparison
    from spanledger.reconcile.difference import Difference
    from spanledger.reconcile.execution import ExecutionResult
    from spanledger.reconcile.reading import Reading
    from spanledger.reconcile.result import Result
    from spanledger.reconcile.sums import Line


def result_view(result: Result, tolerance: float, show: int) -> RenderableType:
    """Verdict, sums, what differs and why, and the first ``show`` entries."""
    parts: list[RenderableType] = [_verdict(result, tolerance), *_left_out(result.comparison), _sums("spans", result.lines)]
    if result.repeated:
        head = Text("Spans that arrived twice are counted once above. As they were delivered:")
        parts.append(Group(head, _delivered(result.repeated)))
    if result.run is not None:
        parts.append(_run(result.run))
    if result.comparison.differences.count:
        parts += [_reasons(result), _entries(result, show)]
    parts += _unread(result.reading)
    return Group(*(item for part in parts for item in (part, Text(""))))


def _verdict(result: Result, tolerance: float) -> Text:
    comparison = result.comparison
    entries = f"{comparison.entries:,} entries of {result.ledger} {result.selection.text}"
    sides = plain(f"{entries}, {comparison.counted:,} spans of them in {_places(result.spans)}.")
    disagreeing = comparison.differences.disagreeing
    if not result.agrees(tolerance):
        return Text.assemble(("Ledger and spans differ", "bold red"), f" in {disagreeing:,} entries. {sides}")
    within = f", within {tolerance:.4g} of the ledger's sums ({disagreeing:,} entries differ)" if disagreeing else ""
    return Text.assemble(("Ledger and spans agree", "bold green"), f"{within}. {sides}")


def _left_out(comparison: Comparison) -> list[RenderableType]:
    told = [
        f"{calls:,} calls of service {name} have spans here, but the service keeps its books elsewhere: they are left out."
        for name, calls in sorted(comparison.elsewhere.items())
    ]
    if comparison.pending:
        since = moment(comparison.arriving)
        told.append(
            f"{comparison.pending:,} calls from {since} on are on one side only, and may be on their way to the other: they are left out."
        )
    return [Group(*map(_cell, told))] if told else []


def _places(places: Sequence[str]) -> str:
    return ", ".join(places) if len(places) <= 2 else f"{places[0]} and {len(places) - 1} more places"


def _sums(other: str, lines: Iterable[Line]) -> Table:
    table = _table("activity", "sum of")
    for name in ("ledger", other, "difference", ""):
        table.add_column(name, justify="right", overflow="fold")
    for line in lines:
        amounts = [_amount(line, number) for number in (line.ledger, line.other)]
        style = "red" if line.difference else None
        table.add_row(_cell(line.activity or "(none)"), _quantity(line), *amounts, *_difference(line), style=style)
    return table


def _delivered(lines: Iterable[Line]) -> Table:
    table = _table("activity", "sum of")
    for name in ("each span once", "as delivered"):
        table.add_column(name, justify="right", overflow="fold")
    for line in lines:
        table.add_row(_cell(line.activity), _quantity(line), _amount(line, line.ledger), _amount(line, line.other))
    return table


def _quantity(line: Line) -> str:
    if line.quantity == "nano_usd":
        return "cost (USD)"
    words = {"operations": "calls", "input_tokens": "input tokens", "output_tokens": "output tokens"}
    return words.get(line.quantity, f"{line.quantity} tokens" if line.quantity != "calls" else "calls")


def _amount(line: Line, number: int) -> str:
    if line.quantity != "nano_usd":
        return f"{number:,}"
    return decimal(number)


def _difference(line: Line) -> tuple[str, str]:
    if not line.difference:
        return "", ""
    sign = "+" if line.difference > 0 else ""
    return f"{sign}{_amount(line, line.difference)}", f"{line.relative:.4%}" if line.ledger else ""


def _run(run: ExecutionResult) -> Group:
    word = "agrees with the ledger" if run.agrees else "differs from the ledger"
    head = _cell(f"What the run of {run.execution.workflow} added up itself {word}:", style="" if run.agrees else "bold red")
    return Group(head, _sums("run", run.lines), *(_cell(f"- {note}") for note in run.notes))


def _reasons(result: Result) -> Table:
    table = _table("entries", "what", "probable reason")
    for kind, text, count in result.comparison.differences.reasons():
        table.add_row(f"{count:,}", kind.replace("_", " "), _cell(text), style="dim" if kind in HARMLESS else None)
    return table


def _entries(result: Result, show: int) -> RenderableType:
    differences = result.comparison.differences
    table = _table("entry", "started", "what", "ledger", "spans")
    for one in differences.by_time(show):
        what = ", ".join(one.kinds).replace("_", " ")
        table.add_row(_cell(one.id), moment(one.either.time), what, *map(_cell, _sides(one)))
    more = differences.count - show
    return Group(table, Text(f"{more:,} more: --show {differences.count}, --json or --csv FILE has them.")) if more > 0 else table


def _sides(one: Difference) -> tuple[str, str]:
    by_type = Kind.TOKENS_DIFFER in one.kinds
    spans = "; ".join(_brief(span, by_type=by_type) for span in one.spans)
    return _brief(one.ledger, by_type=by_type) if one.ledger else "-", spans or "-"


def _brief(fact: Fact, *, by_type: bool) -> str:
    """State, tokens and cost: what differs is in one of them."""
    if fact.state == State.UNKNOWN:
        return f"{fact.activity} of unknown usage"
    types = {name: getattr(fact, name) for name in TOKENS}
    tokens = ", ".join(f"{count:,} {name}" for name, count in types.items() if count) if by_type else f"{sum(types.values()):,}"
    cost = "no price" if fact.nano_usd is None else f"{decimal(fact.nano_usd)} USD"
    return f"{fact.activity} {fact.state}: {tokens or 'no'} tokens, {cost}"


def _unread(reading: Reading) -> list[RenderableType]:
    if not reading.torn + reading.unreadable:
        return []
    head = Text(
        f"{reading.torn:,} lines of the span files are torn, {reading.unreadable:,} lines or spans are not what the collector writes:"
    )
    return [Group(head, *(_cell(f"- {problem.path}:{problem.line} {problem.what}") for problem in reading.problems))]


def _table(*names: str) -> Table:
    """What does not fit goes on in the next line: a number that ends with dots is none."""
    return Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False, header_style="bold")


def _cell(text: str, style: str = "") -> Text:
    """Text that names what others sent: nothing in it is markup, or a command to the terminal."""
    return Text(plain(text), style)
