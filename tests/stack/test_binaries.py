"""Where programs come from: a variable, PATH, an earlier build, a build now; with programs and a Go that are shell scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spanledger import settings
from spanledger.errors import ConfigurationError, StackError
from spanledger.stack import binaries, build

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH with the shell's own tools, a folder ``bin`` before them, and neither Go nor any program of the stack."""
    for name in binaries.BINARIES:
        monkeypatch.delenv(f"SPANLEDGER_{name.upper()}_BIN", raising=False)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "mkdir", "cat", "sleep", "tail"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tools}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _go(places: Path, when_it_builds: str) -> None:
    """A Go that answers ``list -m``, and for ``build`` runs these lines with $out as the folder for the programs."""
    finds_out = 'for word in "$@"; do test "$last" = -o && out=$word; last=$word; done'
    _program(places / "bin" / "go", f'test "$1" = list && exit 0\n{finds_out}\n{when_it_builds}')


def test_the_order_is_variable_path_cache(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert binaries.find("jaeger") is None

    built = _program(build.place(build.JAEGER, settings.load().cache_dir) / "jaeger", "")
    assert binaries.locate("jaeger") == (built, "own build", "1.76.0")

    on_path = _program(places / "bin" / "jaeger", 'echo "git-version=v2.20.0, build-date=2026-07-20"')
    assert binaries.locate("jaeger") == (on_path, "PATH", "2.20.0")

    named = _program(places / "mine", "echo")
    monkeypatch.setenv("SPANLEDGER_JAEGER_BIN", str(named))
    assert binaries.locate("jaeger") == (named, "SPANLEDGER_JAEGER_BIN", None)
    assert binaries.find("jaeger") == named


def test_a_variable_that_names_no_program_is_an_error_not_a_reason_to_take_another_one(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(places / "bin" / "promtool", "echo promtool, version 3.5.0")
    (places / "text").write_text("")
    for wrong in (places / "text", places / "nothing", places):
        monkeypatch.setenv("SPANLEDGER_PROMTOOL_BIN", str(wrong))
        with pytest.raises(
            ConfigurationError, match=f"SPANLEDGER_PROMTOOL_BIN: '{wrong}' is not a program that can be run; expected the path"
        ):
            binaries.find("promtool")


@pytest.mark.parametrize(("name", "file", "says", "usable"), [
    ("prometheus", "prometheus", "prometheus, version 2.42.0+ds (branch: debian/sid)", False),
    ("prometheus", "prometheus", "prometheus, version 3.5.0 (branch: HEAD)", True),
    ("jaeger", "jaeger", "git-version=v1.60.0", False),
    ("collector", "otelcol-contrib", "otelcol-contrib version 0.120.1", False),
    ("collector", "otelcol-contrib", "otelcol-contrib version 0.160.0", True),
    ("alertmanager", "alertmanager", "alertmanager, version  (branch: , revision: unknown)", True),
])  # fmt: skip
def test_what_is_too_old_on_path_is_told_and_not_used(places: Path, name: str, file: str, says: str, usable: bool) -> None:
    path = _program(places / "bin" / file, f"echo '{says}'")
    told: list[str] = []
    found = binaries.locate(name, told.append)
    assert (found.path if found else None) == (path if usable else None)
    assert [str(path) in line and "not used" in line for line in told] == ([] if usable else [True])


def test_without_go_the_message_names_both_ways_out(places: Path) -> None:
    with pytest.raises(
        StackError, match=r"building needs Go 1\.\d+\S* or newer, and there is no go on PATH; install it .*SPANLEDGER_<NAME>_BIN"
    ):
        binaries.ensure("prometheus")


def test_a_go_that_is_too_old_is_quoted(places: Path) -> None:
    refusal = "go: go.mod requires go >= 1.26.0 (running go 1.21.0; GOTOOLCHAIN=local)"
    _program(places / "bin" / "go", f"echo '{refusal}' >&2; exit 1")
    with pytest.raises(
        StackError, match=r"building needs Go 1\.26\.0 or newer; .*/bin/go says: go: go.mod requires go >= 1.26.0 \(running go 1.21.0"
    ):
        binaries.ensure("prometheus")


def test_a_failed_build_shows_its_last_lines_and_where_all_is(places: Path) -> None:
    _go(places, "echo 'go: downloading example.com/a v1.0.0' >&2; echo 'x.go:1: undefined: y' >&2; exit 3")
    stages: list[str] = []
    with pytest.raises(StackError, match=r"exit code 3; all it said is in \S+\.log") as failure:
        binaries.ensure("alertmanager", stages.append)
    assert failure.value.log == ("go: downloading example.com/a v1.0.0", "x.go:1: undefined: y")
    assert Path(str(failure.value).rpartition(" ")[2]).read_text().splitlines() == list(failure.value.log)
    assert stages == ["compiling", "downloading modules", "compiling"]
    assert binaries.find("alertmanager") is None


def test_what_go_is_asked(places: Path) -> None:
    _go(places, f'echo "$*" >{places}/arguments; echo "$CGO_ENABLED $GOFLAGS $GOWORK" >{places}/environment; cat go.mod >$out/promtool')
    promtool = binaries.ensure("promtool")
    arguments = (places / "arguments").read_text()
    assert arguments.startswith("build -v -trimpath -ldflags -s -w -tags netgo,remove_all_sd -o ")
    assert (places / "environment").read_text() == "0 -mod=readonly -buildvcs=false off\n"
    assert "spanledger.invalid/spanledger-prometheus" in promtool.read_text()
    assert binaries.find("promtool") == promtool


def test_of_two_that_build_at_once_one_waits_for_the_other(places: Path) -> None:
    _go(places, f"echo built >>{places}/builds; while ! test -e {places}/go-on; do sleep 0.01; done; cat go.mod >$out/jaeger")
    stages: list[list[str]] = [[], []]
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda told=told: paths.append(binaries.ensure("jaeger", told.append))) for told in stages]
    for thread in threads:
        thread.start()
    _until(lambda: sorted(map(len, stages)) == [1, 1])
    assert sorted(stages) == [["compiling"], ["waiting for another process that builds the same"]]
    (places / "go-on").touch()
    for thread in threads:
        thread.join(30)
    assert (paths[0], len(paths)) == (paths[1], 2)
    assert (places / "builds").read_text() == "built\n"


def test_an_interrupted_build_leaves_nothing_behind(places: Path) -> None:
    _go(places, f"echo $$ >{places}/pid; echo a >$out/jaeger; echo begun >&2; sleep 1000")

    def interrupt(stage: str) -> None:
        if (places / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        binaries.ensure("jaeger", interrupt)
    assert binaries.find("jaeger") is None
    assert [path.name for path in (places / "cache" / "spanledger" / "stack").iterdir() if path.is_dir()] == []
    assert not Path("/proc", (places / "pid").read_text().strip()).exists()


def test_other_sources_are_another_build(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(build.files.directory(), places / "copy")
    before = build.place(build.COLLECTOR, places)
    monkeypatch.setattr(build.files, "directory", lambda: places / "copy")
    assert build.place(build.COLLECTOR, places) == before
    with (places / "copy" / "build" / "collector" / "go.sum").open("a") as file:
        file.write("\n")
    assert build.place(build.COLLECTOR, places) != before


def test_a_cache_that_cannot_be_written(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "file"))
    with pytest.raises(StackError, match=r"cannot build jaeger in .*: Not a directory; XDG_CACHE_HOME chooses another place"):
        binaries.ensure("jaeger")


@pytest.mark.slow
@pytest.mark.stack
def test_a_real_build_gives_a_program_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    for variable in ("GOCACHE", "GOMODCACHE"):  # they are under XDG_CACHE_HOME or HOME unless somebody says otherwise
        monkeypatch.setenv(variable, subprocess.run(["go", "env", variable], capture_output=True, text=True, check=True).stdout.strip())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    alertmanager = binaries.make("alertmanager")
    assert alertmanager.path.is_relative_to(tmp_path)
    said = subprocess.run([alertmanager.path, "--version"], capture_output=True, text=True)
    assert (said.returncode, "alertmanager, version" in said.stdout + said.stderr) == (0, True)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
