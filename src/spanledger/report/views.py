"""Tables and bars for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from spanledger import figures, outside
from spanledger.budgets.match import is_of
from spanledger.budgets.rule import Window
from spanledger.ledger.ledger import GROUPS
from spanledger.report import words
from spanledger.report.accounts import left

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from spanledger.model import Balance, Total
    from spanledger.report.accounts import BudgetLines
    from spanledger.report.queries import Report

NARROW = 100
"""Columns below which a report is written as paragraphs: a table would cut numbers."""
_GAP, _NAME = 2, 8
"""Columns between two columns of a table, and those that a name needs at least."""
_BAR = 30
_NOTES = {
    "unpriced": "unpriced: no price is known for the model; these calls are not in the sums of money. "
    "Give a price in the file that SPANLEDGER_PRICES names.",
    words.PARTIAL: "cost partial: some of what was used has no price; the cost is that of the rest.",
    words.ESTIMATED: "cost estimated: the usage is known, but not for certain its price: the tier or place it was served in is not known, "
    "or has no price of its own.",
    "estimated": "estimated: the provider did not tell the usage; tokens were counted from the text.",
    "unknown": "unknown: the usage is not known. If no answer came (killed, cut off) the estimate made before the call stands; "
    "a call that was turned away has no numbers and is in no sum.",
    "failed": "failed: the call ended in an error; what it used is consumed all the same.",
}


def empty(found: Report, *, filtered: bool) -> str:
    """What to say, and to do, when a report has nothing to show."""
    return "\n\n".join(filter(None, (_why_empty(filtered=filtered), _unsettled(found))))


def _why_empty(*, filtered: bool) -> str:
    if filtered:
        return "No call is in the books for that time or execution. Without --since, --until and --execution all of them are shown."
    return (
        "The books are empty. To fill them, run your program with\n\n"
        "    spanledger run -- python app.py\n\n"
        "or, with exporters of your own, with opentelemetry-instrument. `spanledger status` tells which libraries are seen."
    )


def _unsettled(found: Report) -> str:
    told = words.unsettled(found.unsettled)
    return told and f"{told}. They are in no report until the next program runs with Spanledger and this ledger, which settles them."


def report_view(found: Report, width: int) -> RenderableType:
    """Sums over the books, and under them what the words in the last column mean."""
    body = _table(found) if width >= NARROW and _leaves_room(found, width) else _paragraphs(found)
    return Group(body, *_footnotes(found))


def _leaves_room(found: Report, width: int) -> bool:
    """Whether the numbers leave room for names: a column of single letters cannot be read."""
    numbers = zip(*map(_numbers, (*found.rows, found.total)), strict=True)
    taken = sum(max(map(len, column)) + _GAP for column in numbers)
    return width - taken >= (_NAME + _GAP) * (len(found.by) + 1)


def _table(found: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    for number, name in enumerate(found.by or ("total",)):
        table.add_column(Text(outside.plain(name)), "total" if number == 0 else "", overflow="fold")
    for name, footer in zip(("calls", "input", "output", "consumed", "billable"), _numbers(found.total), strict=True):
        table.add_column(name, footer, justify="right", no_wrap=True)
    table.add_column("of these", _doubts(found.total), style="yellow", footer_style="yellow", overflow="fold")
    for row in found.rows:
        table.add_row(*(Text(name) for name in _group(found, row)), *_numbers(row), _doubts(row))
    return table


def _doubts(total: Total) -> str:
    return ", ".join(f"{number:,} {word}" for word, number in words.doubts(total).items())


def _group(found: Report, row: Total) -> Sequence[str]:
    return [outside.plain(row.group.get(name) or f"(no {name})") + (" UTC" if name == "day" else "") for name in found.by] or [""]


def _numbers(total: Total) -> tuple[str, str, str, str, str]:
    return (
        figures.count(total.calls),
        figures.count(total.input_tokens),
        figures.count(total.output_tokens),
        figures.usd(words.consumed(total)),
        figures.usd(words.billable(total)),
    )


def _paragraphs(found: Report) -> Group:
    rows = [(", ".join(_group(found, row)), row) for row in found.rows]
    return Group(*(line for name, total in [*rows, ("total", found.total)] for line in _paragraph(name, total)))


def _paragraph(name: str, total: Total) -> Iterator[Text]:
    calls, read, written, consumed, billable = _numbers(total)
    yield Text(name, style="bold")
    yield Text(f"  {calls} calls, tokens {read} in, {written} out")
    yield Text(f"  consumed {consumed}, billable {billable}")
    if doubts := _doubts(total):
        yield Text(f"  of these {doubts}", style="yellow")


def _footnotes(found: Report) -> Iterator[Text]:
    yield Text("\nconsumed: all that providers did. billable: without attempts of a step that a later attempt replaced.", style="dim")
    for word in words.doubts(found.total):
        yield Text(_NOTES[word], style="dim")
    if told := _unsettled(found):
        yield Text(told, style="yellow")
    yield from (Text(note, style="yellow") for note in unknown_groups(found))


def unknown_groups(found: Report) -> list[str]:
    """What to say of groups that are most likely misspelt."""
    known = f"Groups are {', '.join(GROUPS)} and your own keys."
    return [f"{outside.plain(name)}: no call has a scope key of this name. {known}" for name in found.strange]


def budgets_view(lines: Sequence[BudgetLines], zone: dt.tzinfo) -> RenderableType:
    """One bar per account: spent, reserved by calls under way, left, and when the budget starts anew."""
    parts: list[RenderableType] = []
    for line in lines:
        parts.append(Text.assemble((outside.plain(line.name), "bold"), "  ", (outside.plain(line.text), "dim")))
        parts.extend(part for balance in line.accounts for part in _account(balance, _period(line, balance, zone)))
        if line.rule and not any(is_of(line.rule, balance.account) for balance in line.accounts):
            parts.append(Text(f"  {'░' * _BAR}  nothing booked to this budget yet"))
    return Group(*parts)


def _period(line: BudgetLines, balance: Balance, zone: dt.tzinfo) -> str:
    rule = line.rule
    if rule is None:
        return _anew(balance, zone)
    if not is_of(rule, balance.account):
        return f"{_anew(balance, zone)}; another rule of this name, not the one above"
    period = "for this run" if rule.window is Window.RUN else _anew(balance, zone)
    return period if rule.limit == balance.limit else f"{period}; the limit is that of the newest call, not the one above"


def _anew(balance: Balance, zone: dt.tzinfo) -> str:
    return f"starts anew {words.moment(balance.ends, zone)}" if balance.ends is not None else "never starts anew"


def _account(balance: Balance, period: str) -> Iterator[Text]:
    percent = round(100 * balance.spent / balance.limit) if balance.limit else 100
    yield Text.assemble("  ", _bar(balance), f"  {percent}%", f"  {outside.plain(balance.scope)}" if balance.scope else "")
    amounts = {"spent": balance.spent, "reserved": balance.reserved, "left": max(0, left(balance)), "of": balance.limit}
    sentence = ", ".join(f"{name} {figures.amount(value, balance.unit)}" for name, value in amounts.items())
    yield Text(f"  {sentence.replace(', of', ' of')}", style="" if left(balance) > 0 else "red")
    yield Text(f"  {period}{'' if balance.blocking else '; warns, does not block'}", style="dim")


def _bar(balance: Balance) -> Text:
    limit = max(balance.limit, 1)
    spent = min(_BAR, round(_BAR * balance.spent / limit) if balance.limit else _BAR)
    reserved = min(_BAR - spent, -(-_BAR * balance.reserved // limit))
    colour = "red" if left(balance) <= 0 else "green"
    return Text.assemble(("█" * spent, colour), ("▒" * reserved, "yellow"), ("░" * (_BAR - spent - reserved), "dim"))
