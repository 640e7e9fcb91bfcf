"""``spanledger stack`` where no service needs to run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.errors import StackError
from spanledger.stack import progress

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_directory_is_the_option_s_or_the_variable_s_or_the_user_s(spanledger: Command, tmp_path: Path) -> None:
    def directory(*arguments: object, **environment: str) -> str:
        found: str = json.loads(spanledger("stack", "status", "--json", *arguments, **environment).stdout)["directory"]
        return found

    assert directory() == f"{tmp_path}/state/spanledger/stack"
    assert directory(SPANLEDGER_STACK_DIR=f"{tmp_path}/variable") == f"{tmp_path}/variable"
    assert directory("--dir", tmp_path / "option", SPANLEDGER_STACK_DIR=f"{tmp_path}/variable") == f"{tmp_path}/option"


def test_where_nothing_runs(spanledger: Command) -> None:
    status = spanledger("stack", "status")
    assert (status.returncode, status.stdout.count("stopped")) == (1, 6)
    down = spanledger("stack", "down", "--json")
    assert (down.returncode, json.loads(down.stdout)["stopped"]) == (0, [])


@pytest.mark.parametrize(("arguments", "said"), [
    (("up", "--port", "prometheus"), "--port prometheus: expected a name and a port, such as prometheus=9091"),
    (("up", "--port", "prometheus=90000"), "--port prometheus=90000: expected a name and a port"),
    (("up", "--port", "grafana=3000"), "--port grafana: there is no such port; expected one of agent_grpc, "),
    (("up", "--port-base", "65530"), "--port-base 65530: expected a port from 1024 to"),
    (("up", "--only", "grafana"), "there is no service grafana; expected some of agent, gateway, jaeger, prometheus, alertmanager, audit"),
    (("build", "grafana"), "there is no program grafana; expected some of collector, jaeger, prometheus, promtool, alertmanager"),
])  # fmt: skip
def test_what_is_not_understood(spanledger: Command, arguments: tuple[str, ...], said: str) -> None:
    result = spanledger("stack", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"spanledger: {said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.stack
def test_build_tells_what_is_there(spanledger_json: Callable[..., Any], binaries: dict[str, Path]) -> None:
    rows = spanledger_json("stack", "build", "promtool", "jaeger")
    assert [(row["name"], row["path"], row["built"]) for row in rows] == [
        (name, str(binaries[name]), False) for name in ("promtool", "jaeger")
    ]


def test_stages_are_lines_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    def build() -> None:
        with progress.shown("jaeger") as tell:
            for stage in ("compiling", "compiling", "done"):
                tell(stage)
            message = "failed"
            raise StackError(message, ("the program's", "last words"))

    with pytest.raises(StackError):
        build()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" s  ")[2] or line for line in lines] == [
        "jaeger: compiling",
        "jaeger: done",
        "    the program's",
        "    last words",
    ]


def test_in_a_terminal_one_line_moves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown("jaeger") as tell:
        tell("compiling [x]")
    assert "jaeger: compiling [x]" in capsys.readouterr().err
