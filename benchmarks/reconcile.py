"""How long ``spanledger reconcile`` takes, and how much memory: N entries against N spans, and a tenth of that.

    python benchmarks/reconcile.py [N]

The data are made without the SDK: a SQLite ledger, and a span file as the collector's file exporter writes it (about 2.5 kB a span, 32
attributes, 300 spans a line). A hundred differences are planted; the command has to find these and no others. It runs in a process of its
own. Memory is the most that it and its workers had in RAM together (sampled), and the most that the largest of them had.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from spanledger.ledger import rows
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, Usage

START = 1_790_000_000.0
PER_LINE = 300
PLANTED = 100
KINDS = ("missing_in_spans", "missing_in_ledger", "doubled", "tokens_differ", "cost_differs", "state_differs")
MODELS = (("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"), ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"))


def text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def number(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)}}


def template() -> str:
    """The JSON of one span with %(name)s where calls differ."""
    attributes = [
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "%(provider)s"),
        text("gen_ai.request.model", "%(model)s"),
        text("server.address", "api.%(provider)s.com"),
        number("server.port", 443),
        text("spanledger.entry.id", "%(id)s"),
        text("spanledger.activity", "llm"),
        number("gen_ai.request.max_tokens", 1024),
        {"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.2}},
        text("spanledger.scope.customer", "customer-%(customer)d"),
        text("spanledger.scope.user", "user-%(customer)d"),
        text("spanledger.scope.workflow", "answer"),
        text("spanledger.execution.id", "%(execution)s"),
        text("spanledger.step.name", "draft"),
        number("spanledger.step.attempt", 1),
        text("spanledger.outcome", "completed"),
        text("gen_ai.response.id", "chatcmpl-%(id)s"),
        text("gen_ai.response.model", "%(answered)s"),
        {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}},
        {"key": "spanledger.counted", "value": {"boolValue": True}},
        text("spanledger.usage.state", "%(state)s"),
        number("gen_ai.usage.input_tokens", "%(input)d"),
        number("gen_ai.usage.output_tokens", "%(output)d"),
        number("gen_ai.usage.cache_read.input_tokens", 100),
        number("gen_ai.usage.reasoning.output_tokens", 20),
        text("spanledger.cost.status", "exact"),
        number("spanledger.cost.nano_usd", "%(nano)d"),
        {"key": "gen_ai.usage.cost.amount", "value": {"doubleValue": 0.001234567}},
        text("gen_ai.usage.cost.currency", "USD"),
        text("spanledger.price.source", "genai-prices"),
        text("spanledger.price.version", "0.2.3"),
        text("spanledger.price.model", "%(provider)s/%(model)s"),
    ]
    return json.dumps(
        {
            "traceId": "%(execution)s", "spanId": "%(span)s", "parentSpanId": "%(span)s", "flags": 257, "name": "chat %(model)s", "kind": 3,
            "startTimeUnixNano": "%(start)d", "endTimeUnixNano": "%(start)d", "attributes": attributes, "status": {},
        },
        separators=(",", ":"),
    )  # fmt: skip


RESOURCE = [
    text("service.name", "app"),
    text("service.instance.id", "23f11f74-e069-482f-91d5-9fa154c21060"),
    text("telemetry.sdk.language", "python"),
]
LINE = (
    '{"resourceSpans":[{"resource":{"attributes":'
    + json.dumps(RESOURCE, separators=(",", ":"))
    + '},"scopeSpans":[{"scope":{"name":"spanledger"},"spans":[',
    "]}]}]}\n",
)


def calls(count: int) -> Any:
    """The calls, as the values of the template."""
    chance = random.Random(7)
    for index in range(count):
        provider, model, answered = MODELS[index % 7 == 0]
        yield {
            "id": f"{chance.getrandbits(128):032x}", "execution": f"{chance.getrandbits(128):032x}",
            "span": f"{chance.getrandbits(64):016x}",
            "provider": provider, "model": model, "answered": answered, "customer": index % 500, "state": "exact",
            "input": 200 + chance.randrange(4000), "output": 30 + chance.randrange(1000), "nano": chance.randrange(10**7),
            "start": int(START * 1e9) + index * 10_000_000,
        }  # fmt: skip


def entry_row(call: dict[str, Any]) -> tuple[Any, ...]:
    usage = Usage(call["input"], call["output"], cache_read=100, reasoning=20)
    cost = Cost(call["nano"], CostStatus.EXACT, "genai-prices", "0.2.3", f"{call['provider']}/{call['model']}")
    entry = Entry(
        call["id"], call["start"] / 1e9, Activity.LLM, call["provider"], "chat", call["model"], call["answered"], f"chatcmpl-{call['id']}",
        trace_id=call["execution"], span_id=call["span"], service="app", workflow="answer", execution=call["execution"], step="draft",
        attempt=1, keys={"customer": f"customer-{call['customer']}"}, usage=usage, cost=cost, duration=1.2, finish_reason="stop",
    )  # fmt: skip
    return (*rows.from_entry(entry), None, 0)


def damaged(kind: str, call: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What ledger and spans get of a call about which they are to differ."""
    changes = {
        "tokens_differ": {"output": call["output"] + 1},
        "cost_differs": {"nano": call["nano"] + 1},
        "state_differs": {"state": "estimated"},
    }
    if kind == "missing_in_spans":
        return [call], []
    if kind == "missing_in_ledger":
        return [], [call]
    if kind == "doubled":
        return [call], [call, {**call, "span": "f" * 16}]
    return [call], [{**call, **changes[kind]}]


def make(count: int, folder: Path) -> dict[str, str]:
    """Writes ledger and span file; returns what was planted: entry id -> kind."""
    step, planted = count // PLANTED, {}
    ledger = SqliteLedger(folder / "ledger.db")
    ledger.check()
    ledger.close()
    names = ", ".join(f'"{name}"' for name in (*rows.COLUMNS, "charges", "swept"))
    insert = f"INSERT INTO entry ({names}) VALUES ({rows.marks(len(rows.COLUMNS) + 2)})"
    one_span = template()
    (folder / "spans").mkdir()
    with sqlite3.connect(folder / "ledger.db") as db, (folder / "spans" / "spans.jsonl").open("w") as file:
        db.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000")
        entries: list[Any] = []
        spans: list[str] = []
        for index, call in enumerate(calls(count)):
            booked, exported = [call], [call]
            if index % step == step // 2 and len(planted) < PLANTED:
                planted[call["id"]] = KINDS[len(planted) % len(KINDS)]
                booked, exported = damaged(planted[call["id"]], call)
            entries += map(entry_row, booked)
            spans += [one_span % span for span in exported]
            if len(spans) >= PER_LINE or index == count - 1:
                file.write(LINE[0] + ",".join(spans) + LINE[1])
                spans.clear()
                db.executemany(insert, entries)
                entries.clear()
    return planted


def resident(pid: int) -> int:
    """Kilobytes in RAM of a process and its descendants (Linux; elsewhere 0)."""
    total, waiting = 0, [pid]
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        with contextlib.suppress(OSError, IndexError, StopIteration):
            status = (one / "status").read_text().splitlines()
            total += int(next(line for line in status if line.startswith("VmRSS")).split()[1])
            waiting += map(int, (one / "task" / one.name / "children").read_text().split())
    return total


# A process starts with the peak of whoever started it: the data were made in this one, so a small one stands between.
BETWEEN = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], open(sys.argv[1], "w"))
"""


def measure(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="spanledger-benchmark-") as name:
        folder = Path(name)
        began = time.monotonic()
        planted = make(count, folder)
        size = (folder / "spans" / "spans.jsonl").stat().st_size
        print(f"{count:,} calls: {size / 1e6:,.0f} MB of spans ({size / count:,.0f} B each), made in {time.monotonic() - began:.0f} s")
        command = [sys.executable, "-m", "spanledger.cli", "reconcile", "--ledger", f"sqlite:///{folder / 'ledger.db'}"]
        command += ["--spans", str(folder / "spans"), "--no-audit", "--json"]
        began, most = time.monotonic(), 0
        with (folder / "result.json").open("w") as output:
            process = subprocess.Popen([sys.executable, "-c", BETWEEN, str(folder / "used.json"), *command], stdout=output)
            while process.poll() is None:
                most = max(most, resident(process.pid))
                time.sleep(0.05)
        seconds = time.monotonic() - began
        code, cpu, largest = json.loads((folder / "used.json").read_text())
        result = json.loads((folder / "result.json").read_text())
        found = {one["entry_id"]: one["kinds"][0] for one in result["differences"]}
        right = sum(found.get(id_) == kind for id_, kind in planted.items())
        print(f"  {seconds:.1f} s, {cpu:.1f} s of CPU", end="; ")
        print(f"{most / 1024:.0f} MB together, {largest:.0f} MB the largest process", end="; ")
        print(f"{len(planted)} planted, {right} found, {len(set(found) - set(planted))} false", end="; ")
        print(f"load of the machine {os.getloadavg()[0]:.1f}")
        if code != 1 or found != planted:
            sys.exit("the differences found are not those planted")


if __name__ == "__main__":
    os.environ.pop("SPANLEDGER_LEDGER", None)
    total = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 1_000_000
    measure(total // 10)
    measure(total)
