"""Workers of multiprocessing, which stop without what ``atexit`` knows: their spans and counts must get out nevertheless."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Application

PROGRAM = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor

import openai


def ask(number):
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}])


def in_a_process(context):
    process = context.Process(target=ask, args=(0,))
    process.start()
    process.join()


def in_a_pool(context):
    pool = context.Pool(1)
    pool.map(ask, range(3))
    pool.close()
    pool.join()


def in_an_executor(context):
    with ProcessPoolExecutor(1, context) as executor:
        list(executor.map(ask, range(3)))


if __name__ == "__main__":
    globals()[sys.argv[1]](multiprocessing.get_context(sys.argv[2]))
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize("kind", ["in_a_process", "in_a_pool", "in_an_executor"])
def test_what_a_worker_did_is_told(application: Application, kind: str, method: str) -> None:
    program = application.home / "program.py"
    program.write_text(PROGRAM)
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}  # only a flush tells anything
    done = application.run(
        "opentelemetry-instrument", sys.executable, str(program), kind, method, OTEL_TRACES_EXPORTER="spanledger", OTEL_METRICS_EXPORTER="console", **slow
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(application.ledger) as db:
        entries = {id_ for (id_,) in db.execute("SELECT id FROM entry")}
        spans = {json.loads(told)["spanledger.entry.id"] for (told,) in db.execute("SELECT attributes FROM span WHERE name LIKE 'chat%'")}
    assert len(entries) == (1 if kind == "in_a_process" else 3)
    assert spans == entries
    assert '"name": "spanledger.calls"' in done.stdout
