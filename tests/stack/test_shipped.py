"""The files beside the code: complete in what is installed, the same versions everywhere, right for the real programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spanledger.errors import StackError
from spanledger.stack import binaries, build, files

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
COLLECTOR = ROOT / "collector"
BUILDS = (build.COLLECTOR, build.JAEGER, build.PROMETHEUS, build.ALERTMANAGER)
SOURCES = {path.relative_to(COLLECTOR).as_posix() for path in COLLECTOR.rglob("*") if path.is_file()}


def _requirements(folder: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", (COLLECTOR / "build" / folder / "go.mod").read_text(), re.MULTILINE))


def test_the_collector_s_versions_are_those_of_the_builder_s_configuration() -> None:
    manifest: dict[str, Any] = yaml.safe_load((COLLECTOR / "builder-config.yaml").read_text())
    lines = [line["gomod"].split() for part in manifest.values() if isinstance(part, list) for line in part]
    assert len(lines) > 20
    pinned = _requirements("collector")
    assert {module: pinned.get(module) for module, _ in lines} == dict(lines)
    components = (COLLECTOR / "build" / "collector" / "components.go").read_text()
    assert [module for module, _ in lines if "/provider/" not in module and f'"{module}"' not in components] == []
    assert f"module {manifest['dist']['module']}\n" in (COLLECTOR / "build" / "collector" / "go.mod").read_text()


@pytest.mark.parametrize("made", BUILDS, ids=lambda made: made.folder)
def test_a_build_is_pinned_as_a_whole(made: build.Build) -> None:
    """No other place can replace a module, and each has its hash."""
    folder = COLLECTOR / "build" / made.folder
    assert not re.search(r"^(replace|exclude|\treplace)", (folder / "go.mod").read_text(), re.MULTILINE)
    sums = (folder / "go.sum").read_text()
    requirements = _requirements(made.folder)
    assert len(requirements) > 50
    missing = [module for module, version in requirements.items() if f"{module} {version}/go.mod h1:" not in sums]
    assert missing == []
    assert build.pinned_version(made)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source distribution of this checkout."""
    pytest.importorskip("hatchling", reason="building needs hatchling")
    folder = tmp_path_factory.mktemp("dist")
    for kind in ("wheel", "sdist"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_wheel_has_all_collector_files_and_dashboards(distributions: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        wheel.extractall(tmp_path)
    assert {f"spanledger/_collector/{name}" for name in SOURCES} - names == set()
    assert any(re.fullmatch(r"spanledger/_dashboards/\w+\.json", name) for name in names)
    asked = "from spanledger.stack import files, build; print(files.directory(), files.dashboards(), build.pinned_version(build.JAEGER))"
    said = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [f"{tmp_path}/spanledger/_collector", f"{tmp_path}/spanledger/_dashboards", "1.76.0"]


def test_the_source_distribution_has_what_the_wheel_is_made_of(distributions: Path) -> None:
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"collector/{name}" for name in SOURCES} - names == set()


def test_path_and_write(spanledger: Command, tmp_path: Path) -> None:
    assert spanledger("collector", "path").stdout.split() == [str(COLLECTOR), str(ROOT / "dashboards")]
    first = spanledger("collector", "write", tmp_path / "copy")
    assert (first.returncode, f"{len(SOURCES)} files written" in first.stdout) == (0, True)
    assert {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()} == SOURCES


def test_nothing_is_overwritten_unless_forced(spanledger: Command, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("mine")
    refused = spanledger("collector", "write", tmp_path)
    assert (refused.returncode, "use --force to overwrite" in refused.stderr, "gateway.yaml" in refused.stderr) == (2, True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.yaml"], "nothing was written"
    assert spanledger("collector", "write", tmp_path, "--force").returncode == 0
    assert (tmp_path / "gateway.yaml").read_text() == (COLLECTOR / "gateway.yaml").read_text()


def test_write_to_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot write to .*/file/below: Not a directory"):
        files.write(tmp_path / "file" / "below")


def test_without_the_files_the_message_says_where_they_should_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "src" / "spanledger")
    with pytest.raises(StackError, match=f"neither {tmp_path}/src/spanledger/_collector nor {tmp_path}/collector exists"):
        files.directory()


@pytest.mark.stack
@pytest.mark.usefixtures("binaries")
def test_the_real_programs_can_use_the_shipped_files(spanledger: Command) -> None:
    result = spanledger("collector", "validate", "--json")
    checks = json.loads(result.stdout)
    wrong = [check for check in checks if not check["right"]]
    assert (result.returncode, wrong) == (0, [])
    names = {Path(check["file"]).name for check in checks}
    assert names >= {"agent.yaml", "gateway.yaml", "jaeger.yaml", "prometheus.yaml", "alertmanager.yaml"}


@pytest.mark.stack
@pytest.mark.usefixtures("binaries")
@pytest.mark.parametrize(("file", "text", "said"), [
    ("agent.yaml", "receivers: {nonsense: {}}\n", "nonsense"),
    ("jaeger.yaml", "receivers: {nonsense: {}}\n", "nonsense"),
    ("prometheus.yaml", "scrape: nonsense\n", "field scrape not found"),
    ("rules/spanledger.rules.yaml", "groups: [{name: a, rules: [{record: b, expr: 'sum('}]}]\n", "unclosed left parenthesis"),
    ("alertmanager.yaml", "route: {receiver: nobody}\n", "undefined receiver"),
])  # fmt: skip
def test_what_a_program_cannot_use_is_shown_with_its_words(spanledger: Command, tmp_path: Path, file: str, text: str, said: str) -> None:
    files.write(tmp_path)
    (tmp_path / file).write_text(text)
    if not file.startswith("rules/"):  # their tests simulate days, for half a minute
        (tmp_path / "rules" / "spanledger.tests.yaml").unlink()
    result = spanledger("collector", "validate", "--config", tmp_path)
    assert (result.returncode, "WRONG" in result.stdout, said in result.stdout) == (1, True, True), result.stdout


@pytest.mark.stack
def test_one_file_alone(spanledger: Command, binaries: dict[str, Path], tmp_path: Path) -> None:
    shutil.copyfile(COLLECTOR / "agent.yaml", tmp_path / "mine.yaml")
    result = spanledger("collector", "validate", "--config", tmp_path / "mine.yaml")
    assert (result.returncode, result.stdout) == (0, f"right        {tmp_path}/mine.yaml (collector)\n")


@pytest.mark.stack
def test_a_variable_that_is_not_set_is_named(spanledger: Command, binaries: dict[str, Path], tmp_path: Path) -> None:
    text = (COLLECTOR / "agent.yaml").read_text().replace("${env:SPANLEDGER_GATEWAY:-127.0.0.1:4327}", "${env:MY_GATEWAY}")
    (tmp_path / "mine.yaml").write_text(text)
    result = spanledger("collector", "validate", "--config", tmp_path / "mine.yaml")
    line = text[: text.index("MY_GATEWAY")].count("\n") + 1
    assert result.returncode == 1
    assert f"{tmp_path}/mine.yaml:{line}: the variable MY_GATEWAY is not set; expected a value for it" in result.stdout
    assert spanledger("collector", "validate", "--config", tmp_path / "mine.yaml", MY_GATEWAY="127.0.0.1:4327").returncode == 0


def test_what_nobody_could_check_is_not_right(spanledger: Command, tmp_path: Path) -> None:
    nowhere = {f"SPANLEDGER_{name.upper()}_BIN": "" for name in binaries.BINARIES}
    result = spanledger("collector", "validate", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), **nowhere)
    assert result.returncode == 1
    assert f"not checked  {COLLECTOR}/agent.yaml: there is no collector; get it by: spanledger stack build collector" in result.stdout
