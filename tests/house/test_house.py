"""Rules of the house that a linter does not know."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "spanledger").rglob("*.py"))


def _strings(path: Path) -> list[tuple[int, str]]:
    """String constants that are not docstrings."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]


def test_attribute_names_are_spelled_in_one_file() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for path in SOURCES
        if path.name != "semconv.py"
        for line, text in _strings(path)
        if re.match(r"(gen_ai|spanledger|openai\.(request|response|api))\.[a-z_.]+$", text) and not text.startswith("spanledger.adapters")
    ]
    assert [place for place in spelled if not re.search(r"'spanledger\.(db|cli|ledger|install|workflows|plugins)", place)] == []


def test_the_environment_is_read_in_one_file() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert set(readers) == {"src/spanledger/settings.py"}


def test_adapters_import_neither_their_library_nor_opentelemetry_nor_each_other() -> None:
    for path in sorted((ROOT / "src" / "spanledger" / "adapters").glob("*.py")):
        imported = re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)
        for name in imported:
            assert name.split(".")[0] not in ("openai", "anthropic", "opentelemetry", "wrapt"), f"{path.name} imports {name}"
            assert not re.match(r"spanledger\.adapters\.[a-z]", name), f"{path.name} imports {name}"


def test_nothing_lies_about_at_the_top() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what else lies here is not the project's")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = {".gitignore", ".importlinter", "LICENSE", "Makefile", "README.md", "pyproject.toml"}
    folders = {".ci", "benchmarks", "collector", "dashboards", "docs", "examples", "src", "tests"}
    assert {path.partition("/")[0] for path in tracked} == files | folders


def test_sizes() -> None:
    lengths: list[int] = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert len(path.read_text().splitlines()) <= 400, path
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path.name}:{node.lineno} {node.name} has {length} lines"
                lengths.append(length)
    assert statistics.median(lengths) < 10


@pytest.mark.parametrize("statement", ["import spanledger", "import spanledger; spanledger.workflow", "import spanledger.otel"])
def test_importing_imports_no_client_and_nothing_heavy(statement: str) -> None:
    heavy = ("openai", "anthropic", "pydantic", "rich", "click", "yaml", "genai_prices", "httpx", "httpx2", "asyncio", "requests")
    before = "import sys, wrapt, opentelemetry.instrumentation.instrumentor, opentelemetry.sdk.trace; before = set(sys.modules)"
    program = f"{before}; {statement}; print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_are_documented_and_few() -> None:
    import spanledger

    assert len(spanledger.__all__) <= 15
    for name in spanledger.__all__:
        assert getattr(spanledger, name).__doc__, name
