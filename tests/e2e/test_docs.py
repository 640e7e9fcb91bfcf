"""Pages that are written by a program say what the program says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path  # noqa: TC003  # fixtures are evaluated

from spanledger.budgets.rule import parse
from spanledger.settings import VARIABLES


def test_the_configuration_page_is_up_to_date(root: Path) -> None:
    generated = runpy.run_path(str(root / "docs" / "generate_configuration.py"))["page"]()

    assert (root / "docs" / "configuration.md").read_text() == generated, "run `make docs`"
    assert all(f"`{variable.name}`" in generated for variable in VARIABLES)


def test_every_budget_in_the_documents_can_be_read(root: Path) -> None:
    pages = [root / "README.md", root / "docs" / "quickstart.md", root / "docs" / "configuration.md"]
    budgets = [found for page in pages for found in re.findall(r'SPANLEDGER_BUDGET_(\w+)="([^"]+)"', page.read_text())]

    assert len(budgets) >= 6
    assert all(parse(name, text).name == name for name, text in budgets)


def test_every_variable_in_the_readme_exists(root: Path) -> None:
    known = {variable.name for variable in VARIABLES}
    named = set(re.findall(r"SPANLEDGER_[A-Z_]+", (root / "README.md").read_text()))
    settings = {name for name in named if not name.startswith("SPANLEDGER_BUDGET_")}

    assert settings
    assert settings <= known
