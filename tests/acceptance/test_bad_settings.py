"""Settings, files and disks that are wrong: the application under ``opentelemetry-instrument`` does what it does without us, and people are told."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.budgets import spill
from spanledger.ledger import schema
from spanledger.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from spanledger.model import Entry

CALLS = 4
"""Entries of the application with one chat: chat, stream, a call that fails, a tool."""
TOOL = {"SPANLEDGER_PLUGINS": "application_tools:look_up"}


def entries(path: Path) -> list[Entry]:
    ledger = SqliteLedger(path)
    try:
        return list(ledger.entries())
    finally:
        ledger.close()


def _make(path: Path) -> None:
    ledger = SqliteLedger(path)
    ledger.check()
    ledger.close()


def unhurt(done: CompletedProcess[str], plain: str) -> str:
    """Asserts that the application was not hurt; returns what was told on standard error."""
    assert done.returncode == 0, done.stderr
    assert done.stdout == plain, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_nothing_wrong_nothing_told(application: Any, plain: str) -> None:
    told = unhurt(application.instrumented(**TOOL), plain)

    assert told == ""
    assert len(entries(application.ledger)) == CALLS


BUDGETS = {
    "NO_AMOUNT": ("USD per day", "an amount such as 200"),
    "NO_UNIT": ("5 per day", "the unit USD, tokens or calls"),
    "NO_WINDOW": ("5 USD", "something is missing at the end"),
    "TYPO": ("5 USD per custommer per day", "'customer', or a name of your own"),
    "TWO_WINDOWS": ("5 USD per day and month", "one window; it already has 'day'"),
    "CAP": ("5 USD per day then cap", "cap is not available in this version"),
    "HALF_TOKEN": ("0.5 tokens per day", "a whole number of tokens"),
    "TOO_MUCH": ("99999999999999 USD per day", "at most a billion USD"),
    "PERCENT": ("5 USD per day warn at 0%", "percentages from 1% to 100%"),
    "EMPTY": (" ", "an amount such as 200"),
    "": ("5 USD per day", "as in SPANLEDGER_BUDGET_TEAM"),
}


def test_budgets_that_cannot_be_read_are_named_shown_and_ignored(application: Any, plain: str) -> None:
    variables = {f"SPANLEDGER_BUDGET_{name}": text for name, (text, _) in BUDGETS.items()}
    told = unhurt(application.instrumented(**variables, **TOOL), plain)

    for name, (text, expected) in BUDGETS.items():
        (line,) = [line for line in told.splitlines() if line.startswith(f"SPANLEDGER_BUDGET_{name}: ")]
        assert line.endswith("; this budget is not enforced")
        assert text.split()[0] in line if text.strip() else "''" in line or "' '" in line
        assert "; expected " in line
        assert expected in line
    assert len(told.splitlines()) == len(BUDGETS)
    assert len(entries(application.ledger)) == CALLS


def test_strict_refuses_every_call_while_a_budget_cannot_be_read(application: Any, plain: str) -> None:
    sent_before = len(application.provider.requests)
    done = application.instrumented(SPANLEDGER_STRICT="true", SPANLEDGER_BUDGET_TEAM="five dollars")

    assert done.returncode == 0, done.stderr
    *provider_calls, tool = json.loads(done.stdout)
    assert {kind for _, kind, _ in provider_calls} == {"spanledger.errors.BudgetExceeded"}
    assert all("SPANLEDGER_BUDGET_TEAM cannot be understood and SPANLEDGER_STRICT is set" in message for _, _, message in provider_calls)
    assert tool == json.loads(plain)[-1]
    assert len(application.provider.requests) == sent_before


SETTINGS = {
    "SPANLEDGER_ENABLED": ("perhaps", "true or false"),
    "SPANLEDGER_ON_LEDGER_ERROR": ("retry", "allow or block"),
    "SPANLEDGER_LEASE_SECONDS": ("-1", "a number of seconds"),
    "SPANLEDGER_STRICT": ("2", "true or false"),
    "SPANLEDGER_TIMEZONE": ("Mars/Olympus", "an IANA time zone such as Europe/Berlin"),
    "SPANLEDGER_ASSUMED_OUTPUT_TOKENS": ("many", "a number of tokens"),
    "SPANLEDGER_ON_UNPRICED": ("ask", "allow or block"),
    "SPANLEDGER_PRICES_TTL": ("nan", "a number of seconds"),
    "SPANLEDGER_PLUGIN_TOKENS": ("0", "a number of tokens"),
    "SPANLEDGER_STREAM_USAGE": ("ja", "true or false"),
    "SPANLEDGER_SEMCONV": ("1.40", "default or latest"),
    "SPANLEDGER_REDACTION": ("no", "mask, hash, drop or off"),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": ("everything", "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"),
}


def test_other_settings_that_cannot_be_read_are_named_and_their_defaults_used(application: Any, plain: str) -> None:
    told = unhurt(application.instrumented(**{name: text for name, (text, _) in SETTINGS.items()}, **TOOL), plain)

    for name, (text, expected) in SETTINGS.items():
        assert f"{name}: cannot read '{text}', using the default; expected {expected}" in told.splitlines()
    assert len(told.splitlines()) == len(SETTINGS)
    assert len(entries(application.ledger)) == CALLS


def test_a_redaction_key_is_never_shown(application: Any, plain: str) -> None:
    told = unhurt(
        application.instrumented(SPANLEDGER_REDACTION="hash", SPANLEDGER_REDACTION_KEY="s3cret-of-ours", SPANLEDGER_STRICT="?"), plain
    )

    assert "SPANLEDGER_STRICT" in told
    assert "s3cret-of-ours" not in told


def test_plugins_and_their_prices(application: Any, plain: str) -> None:
    targets = "application_tools:look_up, application_tools.look_up, application_tools:no_such, 1module:x"
    settings = {"SPANLEDGER_PLUGINS": targets, "SPANLEDGER_PLUGIN_PRICES": "look_up=dear, other"}
    told = unhurt(application.instrumented(**settings), plain)

    assert "SPANLEDGER_PLUGINS: cannot read 'application_tools.look_up'; expected module:function, module:Class.method or module:*" in told
    assert "SPANLEDGER_PLUGINS: cannot read '1module:x'; expected module:function" in told
    assert "SPANLEDGER_PLUGINS: module application_tools has no no_such; expected the name of a function in it" in told
    assert "SPANLEDGER_PLUGIN_PRICES: cannot read 'dear'" in told
    assert told.count("expected a price such as '0.002 USD' or '250 tokens'") == 2
    (tool,) = [entry for entry in entries(application.ledger) if entry.plugin]
    assert tool.usage.total == 400


def test_a_plugin_whose_module_is_never_found_is_told_once(application: Any, plain: str) -> None:
    """At the end: before, the folder of the program is not among those that modules are found in."""
    told = unhurt(application.instrumented(SPANLEDGER_PLUGINS="application_tols:look_up, application_tools:look_up, wave:open"), plain)

    missing = "module application_tols cannot be found, so application_tols:look_up is not recorded"
    assert told.splitlines() == [f"SPANLEDGER_PLUGINS: {missing}; expected a module that can be imported in the program's folder"]
    assert len([entry for entry in entries(application.ledger) if entry.plugin]) == 1


def test_a_price_without_a_name_is_told(application: Any, plain: str) -> None:
    told = unhurt(application.instrumented(SPANLEDGER_PLUGIN_PRICES="=5 tokens", **TOOL), plain)

    assert "SPANLEDGER_PLUGIN_PRICES: " in told


PRICE_FILES = {
    "no YAML": ("models: [\n  - {", ":2: not YAML", "a YAML mapping"),
    "unknown key": ("models:\n  - model: gpt-4o-mini\n    inptu: 1\n", ":3: models.0.inptu is not a known key", "one of provider, "),
    "twice": ("aliases:\n  a: b\n  a: c\n", ":3: 'a' is there twice", "every key once"),
}


@pytest.mark.parametrize("case", PRICE_FILES)
def test_a_price_file_that_cannot_be_read(application: Any, plain: str, case: str, tmp_path: Path) -> None:
    text, problem, expected = PRICE_FILES[case]
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    told = unhurt(application.instrumented(SPANLEDGER_PRICES=str(path)), plain)

    assert f"{path}{problem}" in told
    assert f"expected {expected}" in told
    assert all(entry.cost.nano_usd for entry in entries(application.ledger) if entry.error is None)  # the built-in prices


@pytest.mark.parametrize(("content", "problem"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8 text")])
def test_a_price_file_that_is_none(application: Any, plain: str, content: bytes | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    if content is not None:
        path.write_bytes(content)
    told = unhurt(application.instrumented(SPANLEDGER_PRICES=str(path)), plain)

    assert f"{path}: " in told
    assert problem in told
    assert "expected a YAML file" in told


# --- the ledger


@pytest.mark.parametrize("url", ["redis://user:pa55word@host/0", "sqlite://", "ledger.db"])
def test_a_ledger_that_is_no_url_we_know_is_named_and_the_calls_are_counted_all_the_same(application: Any, plain: str, url: str) -> None:
    """docs/configuration.md: what cannot be understood is reported and its default is used."""
    told = unhurt(application.instrumented(SPANLEDGER_LEDGER=url, SPANLEDGER_BUDGET_ALL="100 USD per day", **TOOL), plain)

    assert "SPANLEDGER_LEDGER: " in told
    assert "expected memory: or sqlite:///" in told
    assert "pa55word" not in told
    assert "could not be installed" not in told
    assert len(entries(application.state / "ledger.db")) == CALLS


def test_a_budget_is_kept_where_the_ledgers_url_is_wrong(application: Any) -> None:
    done = application.instrumented(SPANLEDGER_LEDGER="redis://localhost", SPANLEDGER_BUDGET_ALL="0 calls per day")

    assert "spanledger.errors.BudgetExceeded" in done.stdout


def test_a_home_that_cannot_be_written(application: Any, plain: str) -> None:
    """One warning, and the books are kept in memory: budgets hold within the process."""
    nowhere = {"SPANLEDGER_LEDGER": "", "HOME": "/dev/null", "XDG_STATE_HOME": ""}
    told = unhurt(application.instrumented(**nowhere), plain)

    assert "/dev/null/.local/state/spanledger/ledger.db cannot be created" in told
    assert "books are kept in memory" in told
    assert "SPANLEDGER_LEDGER" in told
    assert len(told.splitlines()) == 1
    refused = application.instrumented(**nowhere, SPANLEDGER_BUDGET_TWO="2 calls per day")
    assert refused.stdout.count("BudgetExceeded") == CALLS - 3  # one of three provider calls; the tool is not recorded here


AS_MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
"""Root may write anywhere; without these capabilities it may not."""


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv to give up its right to write anywhere"
)
def test_a_read_only_home_and_a_read_only_ledger(application: Any, plain: str, tmp_path: Path) -> None:
    prefix = AS_MORTAL if os.geteuid() == 0 else ()
    home, books = tmp_path / "home", tmp_path / "books"
    home.mkdir(mode=0o555)
    _make(application.ledger)
    application.ledger.chmod(0o444)
    books.chmod(0o555)
    missing = f"sqlite:///{books / 'other.db'}"
    try:
        for url, problem in (
            ("", f"{home}/.local"),
            (missing, "other.db cannot be created"),
            (f"sqlite:///{application.ledger}", "read-only"),
        ):
            variables = {"HOME": str(home), "XDG_STATE_HOME": "", "SPANLEDGER_LEDGER": url}
            told = unhurt(application.instrumented(prefix=prefix, PYTHONDONTWRITEBYTECODE="1", **variables), plain)
            assert problem in told
            assert "books are kept in memory" in told
            assert len(told.splitlines()) == 1
    finally:
        books.chmod(0o755)


def test_a_ledger_written_by_a_newer_version_is_left_as_it_is(application: Any, plain: str) -> None:
    path = application.ledger
    _make(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = path.read_bytes()
    told = unhurt(application.instrumented(OTEL_TRACES_EXPORTER="spanledger"), plain)

    known = len(schema.MIGRATIONS)
    assert f"the ledger {path} was written by a newer version of Spanledger (its tables have version 99, this one knows {known})" in told
    assert "upgrade spanledger or choose another path" in told
    assert path.read_bytes() == before


def test_a_ledger_that_is_no_database_is_left_as_it_is(application: Any, plain: str) -> None:
    application.ledger.parent.mkdir()
    application.ledger.write_text("my diary\n" * 1000)
    told = unhurt(application.instrumented(OTEL_TRACES_EXPORTER="spanledger"), plain)

    assert f"the ledger {application.ledger} cannot be used: it is not a SQLite database; move the file away or choose another path" in told
    assert application.ledger.read_text() == "my diary\n" * 1000


def test_a_database_of_another_program_is_left_as_it_is(application: Any, plain: str) -> None:
    application.ledger.parent.mkdir()
    with sqlite3.connect(application.ledger) as db:
        db.execute("CREATE TABLE entry (mine TEXT)")
    db.close()
    before = application.ledger.read_bytes()
    told = unhurt(application.instrumented(), plain)

    assert "it is the database of another program; choose another path" in told
    assert application.ledger.read_bytes() == before


def test_a_damaged_ledger_loses_no_call(application: Any, plain: str) -> None:
    """Damage in the middle is found by the first call that meets it: what cannot be written waits in a spill file."""
    unhurt(application.instrumented(30), application.plain(30))
    with sqlite3.connect(application.ledger) as db:
        roots = [page for (page,) in db.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")]
    db.close()
    damaged = bytearray(application.ledger.read_bytes())
    for page in roots:
        damaged[(page - 1) * 4096 : page * 4096] = b"\x5a" * 4096
    application.ledger.write_bytes(damaged)
    told = unhurt(application.instrumented(**TOOL), plain)

    assert "it is damaged; move the file away or restore it from a backup" in told
    assert len(_spilled(application.state) + _logged(told)) == CALLS


def test_a_full_disk_loses_no_call(application: Any) -> None:
    """The ledger stops growing in the middle; what follows is spilled at exit, and is in the ledger after the next start."""
    chats = 40
    done = _with_little_room(application, chats)
    told = unhurt(done, application.plain(chats))
    booked, spilled = len(entries(application.ledger)), len(_spilled(application.state))

    assert "the ledger cannot be reached" in told
    assert spilled > 0
    assert booked > 0
    assert booked + spilled == chats + 2
    unhurt(application.instrumented(), application.plain())
    assert len(entries(application.ledger)) == chats + 2 + 3
    assert _spilled(application.state) == []


def test_a_full_disk_and_no_place_to_spill_leaves_the_calls_in_the_log(application: Any) -> None:
    chats = 40
    done = _with_little_room(application, chats, XDG_STATE_HOME="/dev/null")
    told = unhurt(done, application.plain(chats))

    assert "cannot write what is not in the ledger" in told
    assert len(entries(application.ledger)) + len(_logged(told)) == chats + 2


def _with_little_room(application: Any, chats: int, **variables: str) -> CompletedProcess[str]:
    """Runs the application with a limit on the size of its files; what writes beyond it gets an error, as on a full disk."""
    _make(application.ledger)
    room = application.ledger.stat().st_size + 500_000
    limit = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room})); os.execvp(sys.argv[1], sys.argv[1:])"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, *range(room, room + 1))
    return application.instrumented(chats, prefix=("python", "-c", limit), PYTHONDONTWRITEBYTECODE="1", **variables)


def _spilled(state: Path) -> list[str]:
    records = [record for path in sorted(state.glob("spill-*.jsonl")) for record in spill.read(path)] if state.is_dir() else []
    return [record.entry.id for record in records if isinstance(record, spill.Settlement)]


def _logged(told: str) -> list[str]:
    mark = "not in the ledger: "
    records = [spill.decode(line.partition(mark)[2]) for line in told.splitlines() if mark in line]
    return [record.entry.id for record in records if isinstance(record, spill.Settlement)]


# --- off


def test_disabled_is_as_if_we_were_not_there(application: Any, plain: str) -> None:
    told = unhurt(application.instrumented(SPANLEDGER_ENABLED="false", SPANLEDGER_BUDGET_BAD="nonsense", **TOOL), plain)

    assert told == ""
    assert not application.ledger.exists()
    assert not application.state.exists()


def test_disabled_patches_nothing(application: Any) -> None:
    code = (
        "import openai, sys; from openai.resources.chat.completions import Completions as C; "
        "print(vars(C)['create'].__globals__['__name__'], 'spanledger.engine.drive' in sys.modules and __import__('spanledger.install').install.status()['installed'])"
    )
    on = application.run("opentelemetry-instrument", "python", "-c", code)
    off = application.run("opentelemetry-instrument", "python", "-c", code, SPANLEDGER_ENABLED="false")

    assert on.stdout.split() == ["spanledger.engine.drive", "True"], on.stderr
    assert off.stdout.split() == ["openai._utils._utils", "False"], off.stderr


def test_the_exporter_finds_the_same_file_as_the_ledger(application: Any) -> None:
    done = application.instrumented(SPANLEDGER_LEDGER="sqlite:///~/here/ledger.db", OTEL_TRACES_EXPORTER="spanledger")

    assert done.returncode == 0, done.stderr
    assert (application.home / "here" / "ledger.db").is_file()
    assert not (application.home / "~").exists(), "the exporter made a folder called ~"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:////proc/none/ledger.db"])
def test_the_exporter_with_a_ledger_that_cannot_be_does_not_end_the_auto_instrumentation(application: Any, plain: str, url: str) -> None:
    budget = {"SPANLEDGER_BUDGET_NONE": "0 calls per day"}
    told = unhurt(application.instrumented(OTEL_TRACES_EXPORTER="spanledger", SPANLEDGER_LEDGER=url), plain)
    refused = application.instrumented(OTEL_TRACES_EXPORTER="spanledger", SPANLEDGER_LEDGER=url, **budget)

    assert "SPANLEDGER_LEDGER" in told
    assert "auto instrumentation" not in told
    assert refused.stdout.count("spanledger.errors.BudgetExceeded") == 3
