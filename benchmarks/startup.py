"""What starting a program costs with Spanledger, beside starting it without.

    python benchmarks/startup.py [--rounds 15] [--importtime]

Fresh processes, interleaved: every round starts each program once, in a turned order. CPU time is user and system time of the whole
process (``opentelemetry-instrument`` replaces itself by the program, so it is included); exporters are off; medians over the rounds, and
medians of the differences within each round. "Without us" is an environment of links to the packages of this one, all but Spanledger.
OpenTelemetry's threading instrumentation, which comes with Spanledger, is there too, except where the table says so. Where a client is
made, prices are still being read in the background when the program ends. Look at the differences (on a busy machine at those of the least
CPU times): machines differ, and so do moments.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import spanledger

THREADING = "opentelemetry_instrumentation_threading"
QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
BUDGET = {"SPANLEDGER_BUDGET_DAY": "5 USD per customer per day, warn at 80%"}


class Variant(NamedTuple):
    """One program in one environment. ``beside`` is the name of the one it is compared with."""

    name: str
    environment: str
    command: tuple[str, ...]
    beside: str | None = None
    variables: dict[str, str] = {}  # noqa: RUF012  # never changed


class Sample(NamedTuple):
    """Milliseconds of one start."""

    cpu: float
    wall: float


def variants(*, client: bool) -> list[Variant]:
    """All programs; those that import a client only where there is one."""
    otel, nothing = ("opentelemetry-instrument", "python", "-c", "pass"), ("python", "-c", "pass")
    found = [
        Variant("python", "with", nothing),
        Variant("python, import spanledger", "with", ("python", "-c", "import spanledger"), "python"),
        Variant("otel without us or threading", "bare", otel, "python"),
        Variant("otel without us", "without", otel, "otel without us or threading"),
        Variant("otel with us, SPANLEDGER_ENABLED=false", "with", otel, "otel without us", {"SPANLEDGER_ENABLED": "false"}),
        Variant("otel with us", "with", otel, "otel without us"),
    ]
    if client:
        imports = ("opentelemetry-instrument", "python", "-c", "import openai")
        makes = ("opentelemetry-instrument", "python", "-c", "import openai; openai.OpenAI(api_key='none').chat.completions")
        found += [
            Variant("otel without us, import openai", "without", imports),
            Variant("otel with us, import openai", "with", imports, "otel without us, import openai"),
            Variant("otel without us, a client", "without", makes),
            Variant("otel with us, a client, a budget", "with", makes, "otel without us, a client", BUDGET),
        ]
    return found


def make_environment(folder: Path, *, ours: bool, threading: bool) -> Path:
    """A virtual environment of links to the packages of this one; returns its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        is_ours = re.match(r"_?(_editable_impl_)?spanledger", entry.name)
        if is_ours or entry.suffix == ".pth" or entry.name == "__pycache__" or (not threading and entry.name.startswith(THREADING)):
            continue
        (packages / entry.name).symlink_to(entry)
    if ours:
        (packages / "spanledger").symlink_to(Path(spanledger.__file__).parent)
        (metadata,) = Path(sysconfig.get_path("purelib")).glob("spanledger-*.dist-info")
        (packages / metadata.name).symlink_to(metadata)
    script = folder / "bin" / "opentelemetry-instrument"
    script.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom opentelemetry.instrumentation.auto_instrumentation import run\nsys.exit(run())\n"
    )
    script.chmod(0o755)
    return folder / "bin"


def start(variant: Variant, programs: Path, home: Path, *options: str) -> subprocess.Popen[str]:
    """Starts one program with a clean environment and books of its own."""
    environ = {
        **QUIET, **variant.variables, "PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home), "SPANLEDGER_LEDGER": f"sqlite:///{home}/ledger.db",
    }  # fmt: skip
    command = [str(programs / variant.command[0]), *variant.command[1:]]
    at = command.index("-c")
    return subprocess.Popen([*command[:at], *options, *command[at:]], env=environ, cwd=home, stderr=subprocess.PIPE, text=True)


def measure(variant: Variant, programs: Path, home: Path) -> Sample:
    """Starts a program and waits for its end."""
    started = time.perf_counter()
    process = start(variant, programs, home)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or errors:
        sys.exit(f"{variant.name} failed: {errors}")
    return Sample(1000 * (used.ru_utime + used.ru_stime), 1000 * wall)


def rounds(chosen: list[Variant], programs: dict[str, Path], home: Path, count: int) -> dict[str, list[Sample]]:
    """Every program once in each round; a first round only warms the caches."""
    samples: dict[str, list[Sample]] = {variant.name: [] for variant in chosen}
    for number in range(count + 1):
        turn = number % len(chosen)
        for variant in chosen[turn:] + chosen[:turn]:
            sample = measure(variant, programs[variant.environment], home)
            if number:
                samples[variant.name].append(sample)
    return samples


def table(chosen: list[Variant], samples: dict[str, list[Sample]]) -> str:
    """Least and median CPU time, median wall time; of the differences within each round the median and half of the interquartile range."""
    lines = [f"{'program':40} {'least':>7} {'CPU ms':>7} {'wall ms':>7} {'+CPU ms':>8} {'+/-':>5} {'+wall ms':>8} {'+/-':>5}  more than"]
    for variant in chosen:
        mine = samples[variant.name]
        cpu, wall = [sample.cpu for sample in mine], [sample.wall for sample in mine]
        line = f"{variant.name:40} {min(cpu):7.1f} {statistics.median(cpu):7.1f} {statistics.median(wall):7.1f}"
        if variant.beside is not None:
            pairs = list(zip(mine, samples[variant.beside], strict=True))
            line += _difference([a.cpu - b.cpu for a, b in pairs]) + _difference([a.wall - b.wall for a, b in pairs])
            line += f"  {variant.beside}"
        lines.append(line)
    return "\n".join(lines)


def _difference(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f" {middle:8.1f} {(high - low) / 2:5.1f}"


def import_times(variant: Variant, programs: Path, home: Path) -> dict[str, int]:
    """Microseconds of each import, without what it imports (``-X importtime``)."""
    _, printed = start(variant, programs, home, "-X", "importtime").communicate()
    found = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", printed, re.MULTILINE)
    return {name: int(microseconds) for microseconds, name in found}


def imports_table(chosen: list[Variant], programs: dict[str, Path], home: Path, count: int) -> str:
    """The imports that are there with us and not without us, dearest first; medians of five starts."""
    lines = []
    for variant in chosen:
        if variant.beside is None or variant.environment != "with" or not variant.name.startswith("otel with us"):
            continue
        beside = next(other for other in chosen if other.name == variant.beside)
        without = import_times(beside, programs[beside.environment], home).keys()
        runs = [import_times(variant, programs[variant.environment], home) for _ in range(5)]
        ours = {name: statistics.median(run.get(name, 0) for run in runs) / 1000 for name in runs[0] if name not in without}
        lines.append(
            f"\n{variant.name}: {len(ours)} modules more than {beside.name}, {sum(ours.values()):.1f} ms (importtime itself slows them)"
        )
        lines += [f"  {ours[name]:6.2f} ms  {name}" for name in sorted(ours, key=ours.__getitem__, reverse=True)[:count]]
    return "\n".join(lines)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--importtime", type=int, nargs="?", const=15, metavar="N", help="also list the N dearest imports (default 15)")
    options = parser.parse_args()
    chosen = variants(client=importlib.util.find_spec("openai") is not None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = {
            "with": make_environment(folder / "with", ours=True, threading=True),
            "without": make_environment(folder / "without", ours=False, threading=True),
            "bare": make_environment(folder / "bare", ours=False, threading=False),
        }
        home = folder / "home"
        home.mkdir()
        print(f"Python {sys.version.split()[0]}, {options.rounds} rounds, medians")
        print(table(chosen, rounds(chosen, programs, home, options.rounds)))
        if options.importtime:
            print(imports_table(chosen, programs, home, options.importtime))


if __name__ == "__main__":
    main()
