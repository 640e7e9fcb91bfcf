"""Budgets under fire: many calls at once on one budget, with the real openai client, and proof that none got past it.

    python tests/tools/budget_fire.py                    # every shape and every unit, 1,024 calls each
    python tests/tools/budget_fire.py --calls 256 --shape "64 tasks" --unit USD

Threads, tasks and processes call the local provider until about twice the budget is asked for. Meanwhile another process reads the
accounts over a connection of its own. Then the provider's log, the callers' exceptions and the books must tell the same story:

- settled + reserved was never above the limit, whenever it was looked at;
- what the provider has seen is exactly what was not refused, and what was refused raised ``BudgetExceeded``;
- spent is the sum of what the entries say, and nothing is left reserved.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spanledger.ledger.sqlite import SqliteLedger
    from spanledger.model import Entry

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPES = {"64 threads": (1, "threads", 64), "64 tasks": (1, "tasks", 64), "4 processes": (4, "threads", 4)}
"""Processes, what calls in each, and how many of them."""
UNITS = ("USD", "tokens", "calls")
_PER_CALL = {"USD": 20e-6, "tokens": 45, "calls": 1}
"""What a call uses, roughly; the budget is for half of the calls. It does not matter if it is wrong: the proof looks at what happened."""
_ROOM = 20
_SAMPLE_SECONDS = 0.002


@dataclass
class Result:
    """What one fire showed. Amounts are in the ledger's units: nano-USD, tokens or calls."""

    shape: str
    unit: str
    limit: int
    asked: int
    passed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    other_errors: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    booked: list[str] = field(default_factory=list)
    charged: int = 0
    """Sum of what the entries say."""
    spent: int = 0
    reserved: int = 0
    leases: int = 0
    samples: int = 0
    highest: int = 0
    """The most that was ever settled and reserved together."""
    seconds: float = 0.0

    def problems(self) -> list[str]:
        """Everything that is not as promised; empty if the budget held."""
        checks = {
            f"settled + reserved reached {self.highest} of {self.limit}": self.highest > self.limit,
            f"calls ended otherwise: {self.other_errors[:3]}": bool(self.other_errors),
            "calls neither passed nor refused": len(self.passed) + len(self.refused) != self.asked or bool(self.passed & self.refused),
            f"refused, but sent: {sorted(self.refused & set(self.sent))[:3]}": bool(self.refused & set(self.sent)),
            f"sent: {len(self.sent)} requests for {len(self.passed)} calls": sorted(self.sent) != sorted(self.passed),
            f"booked: {len(self.booked)} entries for {len(self.passed)} calls": sorted(self.booked) != sorted(self.passed),
            f"spent {self.spent}, but the entries say {self.charged}": self.spent != self.charged,
            f"{self.reserved} still reserved, {self.leases} leases open": bool(self.reserved or self.leases),
            "nothing was refused": not self.refused,
            "nothing passed": not self.passed,
            "the accounts were not looked at": self.samples < 10,
        }
        return [problem for problem, found in checks.items() if found]


# --- the callers


def arguments(call: str) -> dict[str, Any]:
    """A chat of its own length, some of them streamed; the same for the same call."""
    rng = random.Random(call)
    text = f"call {call} " + "word " * rng.randrange(12)
    stream = {"stream": True, "stream_options": {"include_usage": True}} if rng.random() < 0.3 else {}
    return {"model": "gpt-4o-mini", "max_tokens": _ROOM, "messages": [{"role": "user", "content": text}], **stream}


def worker(url: str, ledger: str, budget: str, kind: str, width: int, calls: int, name: str) -> None:
    """Calls with ``width`` threads or tasks, ``calls`` in all, when told to; prints what became of each call as JSON."""
    import openai

    import spanledger
    from spanledger import settings
    from spanledger.engine.runtime import active

    environ = {"SPANLEDGER_LEDGER": f"sqlite:///{ledger}", "SPANLEDGER_BUDGET_FIRE": budget, "XDG_STATE_HOME": str(Path(ledger).parent)}
    spanledger.instrument(settings.load(environ))
    runtime = active()
    assert runtime is not None
    runtime.book.warm()
    outcomes: dict[str, str] = {}

    def one(client: openai.OpenAI, call: str) -> None:
        try:
            with spanledger.scope(call=call):
                answer = client.chat.completions.create(**arguments(call))
                if isinstance(answer, openai.Stream):
                    list(answer)
            outcomes[call] = "passed"
        except Exception as error:
            outcomes[call] = type(error).__name__

    async def one_task(client: openai.AsyncOpenAI, call: str) -> None:
        try:
            async with spanledger.scope(call=call):
                answer = await client.chat.completions.create(**arguments(call))
                if isinstance(answer, openai.AsyncStream):
                    async for _ in answer:
                        pass
            outcomes[call] = "passed"
        except Exception as error:
            outcomes[call] = type(error).__name__

    def threads(ids: list[str]) -> None:
        options: Any = {"base_url": f"{url}/v1", "api_key": "local", "max_retries": 0, "timeout": 60}
        with openai.OpenAI(**options) as client, concurrent.futures.ThreadPoolExecutor(width) as pool:
            list(pool.map(lambda call: one(client, call), ids))

    async def tasks(ids: list[str]) -> None:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0, timeout=60) as client:
            waiting = iter(ids)

            async def drain() -> None:
                for call in waiting:
                    await one_task(client, call)

            await asyncio.gather(*(drain() for _ in range(width)))

    ids = [f"<{name}-{n}>" for n in range(calls)]
    print("ready", flush=True)
    sys.stdin.readline()
    if kind == "threads":
        threads(ids)
    else:
        asyncio.run(tasks(ids))
    assert spanledger.flush(30.0)
    print(json.dumps(outcomes), flush=True)


# --- the proof


class Watcher(threading.Thread):
    """Looks at the accounts all the time, over a connection of its own."""

    def __init__(self, ledger: SqliteLedger) -> None:
        super().__init__(name="watcher", daemon=True)
        self.samples, self.highest = 0, 0
        self._ledger, self._done = ledger, threading.Event()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            for balance in self._ledger.balances(time.time()):
                self.samples += 1
                self.highest = max(self.highest, balance.spent + balance.reserved)

    def stop(self) -> None:
        self._done.set()
        self.join()


def budget_text(unit: str, calls: int) -> str:
    """A budget for about half of the calls."""
    amount = _PER_CALL[unit] * calls / 2
    return f"{amount:.6f} USD per month" if unit == "USD" else f"{round(amount)} {unit} per month"


def fire(shape: str, unit: str, calls: int) -> Result:
    """Fires ``calls`` calls in this shape on one budget in this unit."""
    sys.path.insert(0, str(EXAMPLES))
    import local_provider  # type: ignore[import-not-found]

    from spanledger.budgets.rule import parse
    from spanledger.ledger.sqlite import SqliteLedger

    processes, kind, width = SHAPES[shape]
    budget = budget_text(unit, calls)
    result = Result(shape, unit, parse("FIRE", budget).limit, calls)
    with tempfile.TemporaryDirectory() as folder, local_provider.LocalProvider() as provider:
        path = str(Path(folder) / "ledger.db")
        share = calls // processes
        result.asked = share * processes
        command = [sys.executable, __file__, "--worker", provider.url, path, budget, kind, str(width), str(share)]
        workers = [_start([*command, f"p{n}"]) for n in range(processes)]
        _wait_until_ready(workers)
        ledger = SqliteLedger(path)
        watcher = Watcher(ledger)
        watcher.start()
        started = time.perf_counter()
        told = [_told(process) for process in _go(workers)]
        result.seconds = time.perf_counter() - started
        watcher.stop()
        result.samples, result.highest = watcher.samples, watcher.highest
        _read_books(result, ledger)
        ledger.close()
        result.sent = [found[0] for request in provider.requests if (found := re.search(r"<p\d+-\d+>", str(request["body"])))]
    for outcomes in told:
        for call, outcome in outcomes.items():
            if outcome in ("passed", "BudgetExceeded"):
                (result.passed if outcome == "passed" else result.refused).add(call)
            else:
                result.other_errors.append(f"{call}: {outcome}")
    return result


def _start(command: list[str]) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def _wait_until_ready(workers: Iterable[subprocess.Popen[str]]) -> None:
    for process in workers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]


def _go(workers: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in workers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return workers


def _told(process: subprocess.Popen[str]) -> dict[str, str]:
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    outcomes: dict[str, str] = json.loads(printed)
    return outcomes


def _read_books(result: Result, ledger: SqliteLedger) -> None:
    entries = list(ledger.entries())
    result.booked = [entry.keys["call"] for entry in entries]
    result.charged = sum(_charge(result.unit, entry) for entry in entries)
    balances = ledger.balances(time.time())
    result.spent, result.reserved = sum(b.spent for b in balances), sum(b.reserved for b in balances)
    result.leases = ledger.open_leases()


def _charge(unit: str, entry: Entry) -> int:
    if unit == "calls":
        return 1
    return entry.usage.total if unit == "tokens" else entry.cost.nano_usd or 0


# --- for people


def table(results: Iterable[Result]) -> str:
    """The figures, one fire a line."""
    head = ("shape", "unit", "limit", "calls", "sent", "refused", "highest", "spent", "entries say", "samples", "s", "")
    lines = [head, *map(_line, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]) for line in lines)


def _line(r: Result) -> tuple[str, ...]:
    figures = (r.limit, r.asked, len(r.sent), len(r.refused), r.highest, r.spent, r.charged, r.samples)
    problems = r.problems()
    return (r.shape, r.unit, *map(str, figures), f"{r.seconds:.1f}", "BROKEN: " + "; ".join(problems) if problems else "held")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1024, help="calls in each fire")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="default: all")
    parser.add_argument("--unit", choices=UNITS, action="append", help="default: all")
    parser.add_argument("--worker", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        url, ledger, budget, kind, width, calls, name = options.worker
        worker(url, ledger, budget, kind, int(width), int(calls), name)
        return 0
    results = [fire(shape, unit, options.calls) for shape in options.shape or SHAPES for unit in options.unit or UNITS]
    print(table(results))
    return 1 if any(result.problems() for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
