"""A ledger's URL that is understood but names no place: books in memory, budgets enforced, one message."""

from __future__ import annotations

from typing import Any

import pytest

URL = "sqlite:///no/such/directory/ledger.db"
"""Three slashes, where an absolute path takes four."""


@pytest.mark.parametrize("exporter", ["none", "spanledger"])
@pytest.mark.parametrize("url", [URL, "sqlite:///~nobody-we-know/ledger.db"])
def test_budgets_hold_and_the_application_runs(application: Any, plain: str, url: str, exporter: str) -> None:
    settings = {"SPANLEDGER_LEDGER": url, "OTEL_TRACES_EXPORTER": exporter}
    done = application.instrumented(**settings)
    refused = application.instrumented(**settings, SPANLEDGER_BUDGET_NONE="0 calls per day")

    assert (done.returncode, done.stdout) == (0, plain)
    assert done.stderr.count("books are kept in memory") == 1
    assert "Traceback" not in done.stderr
    assert "auto instrumentation" not in done.stderr
    assert refused.stdout.count("spanledger.errors.BudgetExceeded") == 3
    assert not (application.home / "no").exists()


def test_run_does_too(application: Any) -> None:
    done = application.run("spanledger", "run", "--", "python", "-c", "print('it ran')", SPANLEDGER_LEDGER=URL)

    assert (done.returncode, done.stdout) == (0, "it ran\n")
    assert "Traceback" not in done.stderr


def test_who_blocks_without_a_ledger_is_not_given_a_budget_per_process(application: Any) -> None:
    done = application.instrumented(SPANLEDGER_LEDGER=URL, SPANLEDGER_ON_LEDGER_ERROR="block", SPANLEDGER_BUDGET_DAY="20 USD per day")

    assert done.stdout.count("spanledger.errors.BudgetExceeded") == 3
    assert "SPANLEDGER_LEDGER cannot be used and SPANLEDGER_ON_LEDGER_ERROR is block" in done.stdout


@pytest.mark.parametrize("then", ["allow", "block"])
def test_a_url_that_is_not_understood_is_told_of_and_blocks_as_well(application: Any, plain: str, then: str) -> None:
    done = application.instrumented(SPANLEDGER_LEDGER="/var/lib/ledger.db", SPANLEDGER_ON_LEDGER_ERROR=then)

    assert done.stderr.count("the books are kept in the default ledger, sqlite:///") == 1
    if then == "allow":
        assert (done.returncode, done.stdout) == (0, plain)
    else:
        assert done.stdout.count("SPANLEDGER_LEDGER cannot be used and SPANLEDGER_ON_LEDGER_ERROR is block") == 3
