"""Pages that are written by a program say what the program says."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import time
from typing import TYPE_CHECKING, Any

import click
from filled_books import QUARTER, book, entry, span, spanledger

from spanledger.budgets import rule
from spanledger.cli import main
from spanledger.pricing import price_file
from spanledger.settings import COLLECTORS, VARIABLES
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger
    from spanledger.ledger.spans import SpanStore


def test_the_configuration_page_is_up_to_date(root: Path) -> None:
    generated = runpy.run_path(str(root / "docs" / "generate_configuration.py"))["page"]()

    assert (root / "docs" / "configuration.md").read_text() == generated, "run `make docs`"
    assert all(f"`{variable.name}`" in generated for variable in VARIABLES)


def test_every_budget_in_the_documents_can_be_read(root: Path) -> None:
    pages = [root / "README.md", root / "docs" / "quickstart.md", root / "docs" / "configuration.md"]
    budgets = [found for page in pages for found in re.findall(r'SPANLEDGER_BUDGET_(\w+)="([^"]+)"', page.read_text())]

    assert len(budgets) >= 6
    assert all(rule.parse(name, text).name == name for name, text in budgets)


def test_the_price_file_in_the_documents_can_be_read_and_has_everything(root: Path) -> None:
    (example,) = re.findall(r"```yaml\n(models:.*?)```", (root / "docs" / "configuration.md").read_text(), re.DOTALL)
    file = price_file.read(example, "docs/configuration.md")

    assert isinstance(file, price_file.PriceFile)
    assert all(getattr(file, section) for section in price_file.PriceFile.model_fields)
    assert all(name in example for name in price_file.ModelEntry.model_fields)


def pages(root: Path) -> list[Path]:
    """Everything that people read, but for decisions, which are of their time."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md")), *(root / name / "README.md" for name in ("collector", "dashboards"))]


def test_every_variable_in_the_documents_exists_and_every_one_is_documented(root: Path) -> None:
    known = {variable.name for variable in VARIABLES} | COLLECTORS
    text = "\n".join(page.read_text() for page in pages(root))
    named = set(re.findall(r"SPANLEDGER_[A-Z_]*[A-Z](?![A-Z_<])", text))
    settings = {name for name in named if not name.startswith("SPANLEDGER_BUDGET_")}

    assert settings <= known
    assert known <= settings | {name for name in known if name.startswith("OTEL_") and name in text}


def commands(page: Path) -> list[list[str]]:
    """The lines of a page that are commands of ours, as a shell would split them."""
    lines = re.findall(r"^ {4}(?:\$ )?(?:[A-Z_]+=\S+ )*spanledger( .*)?$", page.read_text(), re.MULTILINE)
    return [shlex.split(line.replace("...", "x"), comments=True) for line in lines]


def parse(group: click.Command, arguments: list[str]) -> None:
    """Raises what the command line would say of them; runs nothing."""
    with group.make_context("spanledger", list(arguments), resilient_parsing=False) as context:
        if isinstance(group, click.Group):
            name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            assert command is not None, name
            parse(command, rest)


def test_every_command_in_the_documents_is_one(root: Path) -> None:
    found = [arguments for page in pages(root) for arguments in commands(page)]

    assert len(found) > 30
    for arguments in found:
        parse(main, arguments)


def test_the_keys_of_the_json_are_the_documented_ones(root: Path, ledger: Ledger, spans: SpanStore) -> None:
    book(ledger, entry("1", time=time.time()), charges=(QUARTER,))
    ledger.append_audit(1.0, "alarm", "{}")
    spans.save([span("chat", f"{'1':0>16}", attributes={s.ENTRY_ID: "1", s.COUNTED: True})])
    page = (root / "docs" / "quickstart.md").read_text()

    for command, cell in re.findall(r"^\| `([a-z ]+)` \| (.*) \|$", page, re.MULTILINE):
        told = json.loads(
            spanledger(*command.split(), *(("--no-audit", "--until", "now") if command == "reconcile" else ()), "--json").stdout
        )
        documented = set(re.findall(r"`(\w+)`", cell)) - {"null", "usd"}
        assert documented <= keys(told), command
        first = set(told[0] if isinstance(told, list) else told)
        assert first <= documented, command


def keys(value: Any) -> set[str]:
    """All names in a JSON value, however deep."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_links_between_the_documents_lead_somewhere(root: Path) -> None:
    for page in pages(root):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
