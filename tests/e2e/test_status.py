"""``spanledger status`` tells what is in force, what is broken and how to mend it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from filled_books import in_json, spanledger

if TYPE_CHECKING:
    from pathlib import Path


def test_status_of_a_sound_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_BUDGET_DAY", "20 USD per day")
    monkeypatch.setenv("SPANLEDGER_REDACTION_KEY", "very secret")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp, spanledger")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")

    found = in_json("status")
    shown = spanledger("status")

    libraries = {library["library"]: library for library in found["libraries"]}
    settings = {setting["variable"]: setting for setting in found["settings"]}
    assert found["ok"]
    assert libraries["openai"]["state"] == libraries["anthropic"]["state"] == "patched"
    assert any(place.endswith(":Completions.create") for place in libraries["openai"]["patched"])
    assert settings["SPANLEDGER_REDACTION_KEY"] == {
        "variable": "SPANLEDGER_REDACTION_KEY", "value": "(set, not shown)", "source": "SPANLEDGER_REDACTION_KEY",
    }  # fmt: skip
    assert settings["SPANLEDGER_STRICT"]["source"] == "default"
    assert shown.exit_code == 0
    assert "very secret" not in shown.output + json.dumps(found)
    assert "SPANLEDGER_BUDGET_DAY  20 USD per day" in shown.stdout


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SPANLEDGER_BUDGET_DAY", "20 apples per day", "this budget is not enforced"),
        ("SPANLEDGER_LEASE_SECONDS", "soon", "a number of seconds"),
        ("SPANLEDGER_PLUGIN_PRICES", "search=dear", "0.002 USD"),
        ("SPANLEDGER_LEDGER", "sqlite:////proc/nowhere/ledger.db", "/proc/nowhere"),
        ("SPANLEDGER_LEDGER", "redis://user:hidden@host/0", "user:***@host"),
        ("OTEL_METRICS_EXPORTER", "console,nonsense", "no exporter 'nonsense' is installed"),
        ("OTEL_METRICS_EXPORTER", "none,console", "none stands beside other exporters"),
        ("OTEL_METRICS_EXPORTER", "console,", "no exporter '' is installed"),
        ("OTEL_TRACES_EXPORTER", "spanledgr", "expected console, none, otlp, otlp_proto_grpc"),
    ],
)
def test_status_says_what_is_broken_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    monkeypatch.setenv(variable, value)

    result = spanledger("status")

    broken = [line for line in result.stdout.splitlines() if line.startswith("broken")]
    assert result.exit_code == 1
    assert len(broken) == 1
    assert told in result.stdout
    assert "to mend it:" in result.stdout
    assert "hidden" not in result.output


def test_status_tells_of_a_bad_price_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("models: [this, is, no, mapping]\n")
    monkeypatch.setenv("SPANLEDGER_PRICES", str(prices))

    result = spanledger("status")

    assert result.exit_code == 1
    assert "prices.yaml" in result.stdout


def test_status_creates_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    mistyped, missing = spanledger("status", "--ledger", f"sqlite:///{tmp_path}/typo/ledger.db"), spanledger("status")

    assert (mistyped.exit_code, missing.exit_code) == (1, 0)
    assert f"--ledger: there is no file {tmp_path}/typo/ledger.db" in mistyped.stdout
    assert f"{tmp_path}/ledger.db: not there yet" in missing.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("variable", "nearest"), [
    ("SPANLEDGER_BUGDET_DAY", "SPANLEDGER_BUDGET_DAY"), ("SPANLEDGER_BUDGET", "SPANLEDGER_BUDGET_DAY"),
    ("SPANLEDGER_DAY_BUDGET", "SPANLEDGER_BUDGET_DAY"), ("SPANLEDGER_TEAM_BUGDET", "SPANLEDGER_BUDGET_DAY"),
    ("SPANLEDGER_DAYBUDGET", "SPANLEDGER_BUDGET_DAY"), ("SPANLEDGER_TIME_ZONE", "SPANLEDGER_TIMEZONE"), ("SPANLEDGER_REDACTON", "SPANLEDGER_REDACTION"),
])  # fmt: skip
def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str) -> None:
    monkeypatch.setenv(variable, "20 USD per day")

    result = spanledger("status")

    assert result.exit_code == 1
    assert f"broken  {variable}  there is no such variable, so it does nothing" in result.stdout
    assert nearest in result.stdout


def test_variables_of_others_that_begin_as_ours_are_left_alone(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Kubernetes makes such for a service with the name spanledger; the collectors' configurations read others."""
    files = [path.read_text() for path in (root / "collector").glob("*.yaml")]
    collectors = {name for text in files for name in re.findall(r"\$\{(?:env:)?(SPANLEDGER_[A-Z_]+)", text)}
    kubernetes = {
        f"SPANLEDGER_{service}{rest}"
        for service in ("", "BUDGETS_", "API_BUDGET_")
        for rest in ("PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_BUDGET", "PORT_4317_TCP", "PORT_4317_TCP_ADDR")
    }
    for name in kubernetes | collectors - {"SPANLEDGER_AUDIT_TOKEN"}:
        monkeypatch.setenv(name, "1")

    assert len(collectors) > 10
    assert in_json("status")["ok"]


def test_status_tells_that_all_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_ENABLED", "false")
    monkeypatch.setenv("SPANLEDGER_BUDGET_DAY", "20 USD per day")

    result = spanledger("status")

    assert result.exit_code == 0
    assert "false, so all of Spanledger is off here: no call is in the books, and no budget holds" in result.stdout
    assert "is installed in this environment" not in result.stdout


@pytest.mark.parametrize("names", ["*", "flask, spanledger"])
def test_status_tells_of_an_environment_that_leaves_us_out(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", names)

    result = spanledger("status")

    assert result.exit_code == 1
    assert "broken  OTEL_PYTHON_DISABLED_INSTRUMENTATIONS  leaves out Spanledger" in result.stdout


def test_status_says_what_a_ledger_in_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_LEDGER", "memory:")

    assert "ledger  memory: every process has books and budgets of its own" in spanledger("status").stdout


@pytest.mark.parametrize(("then", "told"), [("allow", "keeps its books in memory"), ("block", "every call is refused")])
def test_status_says_what_follows_from_a_ledger_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, then: str, told: str) -> None:
    monkeypatch.setenv("SPANLEDGER_LEDGER", "sqlite:////proc/nowhere/ledger.db")
    monkeypatch.setenv("SPANLEDGER_ON_LEDGER_ERROR", then)

    assert told in " ".join(spanledger("status").stdout.split())


def test_a_problem_is_told_under_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_PLUGINS", ":x")

    shown = spanledger("status").stdout

    assert "broken  SPANLEDGER_PLUGINS  cannot read ':x'\n" in "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
    assert "to mend it: expected module:function" in shown


def test_status_says_which_plugins_can_be_found_and_imports_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mailtool.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPANLEDGER_PLUGINS", "mailtool:send, mailtol:send")

    found = json.loads(spanledger("status", "--json").stdout)["checks"]
    checks = [check for check in found if check["name"] == "SPANLEDGER_PLUGINS"]

    assert [(check["ok"], check["text"].partition(" ")[0]) for check in checks] == [(False, "module"), (True, "mailtool:send:")]
    assert checks[0]["text"] == "module mailtol cannot be found, so mailtol:send is not recorded"
