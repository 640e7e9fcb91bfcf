"""``spanledger run``: real child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

import spanledger

WORDS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "SPANLEDGER_LEDGER")
TELL = f"import json, os, sys; print(json.dumps([{{name: os.environ.get(name) for name in {WORDS}}}, sys.argv[1:], sys.executable]))"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spanledger.cli", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=60)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_spans_go_into_the_ledger_and_nothing_into_the_network(ledger_url: str) -> None:
    environment, _, _ = told(run("--", "python", "-c", TELL))

    assert environment == dict(zip(WORDS, ("spanledger", "none", "none", ledger_url), strict=True))


def test_what_is_set_already_stays_and_the_ledger_option_wins(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    environment, _, _ = told(run("--ledger", url, "--", "python", "-c", TELL, OTEL_TRACES_EXPORTER="none"))

    assert (environment["OTEL_TRACES_EXPORTER"], environment["SPANLEDGER_LEDGER"]) == ("none", url)


def test_the_program_is_our_own_python_and_gets_its_arguments_as_they_are() -> None:
    _, arguments, executable = told(run("python", "-c", TELL, "--ledger", "a b", "--", "-x", PATH="/usr/bin:/bin"))

    assert arguments == ["--ledger", "a b", "--", "-x"]
    assert Path(executable).parent == Path(sys.executable).parent


@pytest.mark.parametrize("option", ["--config", "--log", "--metrics", "--trace", "--b"])
def test_options_of_the_program_that_begin_as_opentelemetrys_do_reach_the_program(option: str) -> None:
    _, arguments, _ = told(run("--", "python", "-c", TELL, option, "prod.yaml", "--", "--version"))

    assert arguments == [option, "prod.yaml", "--", "--version"]


def test_spanledger_is_installed_in_the_program() -> None:
    code = "import openai, spanledger.install as i; print(i.status()['installed'])"

    assert run("--", "python", "-c", code).stdout == "True\n"


def test_the_exit_code_passes_through() -> None:
    assert run("--", "python", "-c", "raise SystemExit(7)").returncode == 7


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_signal_reaches_the_program() -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print('ready', flush=True); signal.pause()"
    command = [sys.executable, "-m", "spanledger.cli", "run", "--", "python", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 9


@pytest.mark.parametrize("value", ["None", " none ", ""])
def test_no_exporter_is_none_that_is_missing(value: str) -> None:
    done = run("--", "python", "-c", "print('started')", OTEL_METRICS_EXPORTER=value)

    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def test_an_exporter_that_is_not_installed_is_told_of_before_the_program_starts() -> None:
    """OpenTelemetry would start it without any instrumentation: no budget would hold."""
    done = run("--", "python", "-c", "print('started')", OTEL_METRICS_EXPORTER="nonsense")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("spanledger: OTEL_METRICS_EXPORTER: no exporter 'nonsense' is installed; expected console, none, otlp")
    assert done.stderr.count("\n") == 1


def test_a_program_that_does_not_exist_is_one_clear_line() -> None:
    done = run("--", "no-such-program")

    assert done.returncode == 2
    assert done.stderr.startswith("spanledger: cannot find the program 'no-such-program'")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """Of an environment without us."""
    venv.create(tmp_path / "other", symlinks=True)
    return tmp_path / "other" / "bin" / "python"


@pytest.mark.skipif(os.name != "posix", reason="paths and first lines of scripts are POSIX's")
@pytest.mark.parametrize("how", ["python", "script"])
def test_a_python_that_cannot_import_us_is_told_of_and_runs(other_python: Path, tmp_path: Path, how: str) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{other_python}\nprint('here')\n")
    script.chmod(0o755)
    done = run("--", *([str(other_python), str(script)] if how == "python" else [str(script)]))

    assert (done.returncode, done.stdout) == (0, "here\n")
    assert done.stderr.startswith(f"spanledger: {other_python} cannot import spanledger")


def test_programs_that_are_no_other_python_are_not_asked(other_python: Path, tmp_path: Path) -> None:
    for program in (sys.executable, "python", "sh", str(tmp_path)):
        assert "cannot import" not in run("--", program, "-c", "exit").stderr
    source = str(Path(spanledger.__file__).parents[1])
    packages = os.pathsep.join([source, *(path for path in sys.path if path.endswith("site-packages"))])
    assert "cannot import" not in run("--", str(other_python), "-c", "exit", PYTHONPATH=packages).stderr


def test_no_program_at_all_says_how_it_is_used() -> None:
    done = run()

    assert done.returncode == 2
    assert "spanledger run" in done.stderr
