"""Processes that end without what ``atexit`` knows: workers, and servers that die by their own signal. Their telemetry must get out nevertheless."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

import spanledger
from spanledger import process_end

if TYPE_CHECKING:
    import subprocess

    from conftest import Application

WORKERS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor

if sys.argv[3] == "imported-by-all":
    import openai


def ask(number):
    import openai

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


SERVER = """
import os, signal, threading, time, urllib.request

import openai, uvicorn


async def app(scope, receive, send):
    await openai.AsyncOpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"said"})


def ask_and_stop():
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
    os.kill(os.getpid(), signal.SIGTERM)


server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off"))
threading.Thread(target=ask_and_stop).start()
server.run()
"""

CELERY = """
import os, signal, sys, threading, time
from pathlib import Path

import openai
from celery import Celery

folder, done = sys.argv[1:]
Path(folder).mkdir()
Path(done).mkdir()
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}


@app.task(name="ask")
def ask(number):
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}])
    Path(done, str(number)).touch()


def stop_when_all_is_done():  # looks at files: a worker that is forked while SQLite is looked into here finds SQLite locked for ever
    while len(os.listdir(done)) < 3:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)


for number in range(3):
    ask.delay(number)
threading.Thread(target=stop_when_all_is_done, daemon=True).start()
app.worker_main(["worker", "--concurrency", "1", "--pool", "prefork", "--without-gossip", "--without-mingle", "--without-heartbeat"])
"""


def run(application: Application, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program whose telemetry leaves it only if somebody flushes."""
    file = application.home / "program.py"
    file.write_text(program)
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
    return application.run(
        "opentelemetry-instrument", sys.executable, str(file), *arguments,
        OTEL_TRACES_EXPORTER="spanledger", OTEL_METRICS_EXPORTER="console", **slow,
    )  # fmt: skip


def assert_all_is_told(application: Application, done: subprocess.CompletedProcess[str], calls: int) -> None:
    with sqlite3.connect(application.ledger) as db:
        entries = {id_ for (id_,) in db.execute("SELECT id FROM entry")}
        spans = {json.loads(told)["spanledger.entry.id"] for (told,) in db.execute("SELECT attributes FROM span WHERE name LIKE 'chat%'")}
    assert len(entries) == calls, done.stderr
    assert spans == entries
    assert '"name": "spanledger.calls"' in done.stdout


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize(("kind", "client"), [
    ("in_a_process", "imported-by-all"),
    ("in_a_process", "imported-in-the-worker"),
    ("in_a_pool", "imported-by-all"),
    ("in_an_executor", "imported-in-the-worker"),
])  # fmt: skip
def test_what_a_worker_did_is_told(application: Application, kind: str, client: str, method: str) -> None:
    done = run(application, WORKERS, kind, method, client)
    assert done.returncode == 0, done.stderr
    assert_all_is_told(application, done, 1 if kind == "in_a_process" else 3)


IDLE = """
import multiprocessing

import openai

openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
with_workers = multiprocessing.get_context("fork").Pool(2)
print(with_workers.map(abs, range(4)))
with_workers.close()
with_workers.join()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_worker_that_records_nothing_waits_for_no_exporter(application: Application) -> None:
    done = run(application, IDLE)
    assert done.returncode == 0, done.stderr
    assert_all_is_told(application, done, 1)
    assert done.stdout.count('"resource_metrics"') == 1, "only the parent exports"


def test_an_exporter_that_never_answers_keeps_no_process_from_its_end() -> None:
    answer, told = threading.Event(), []
    process_end.together([answer.wait, partial(told.append, "the others")], 0.2)
    assert not answer.is_set()
    assert told == ["the others"]
    answer.set()


def test_what_a_worker_of_celery_did_is_told(application: Application) -> None:
    done = run(application, CELERY, str(application.home / "queue"), str(application.home / "done"))
    assert done.returncode == 0, done.stderr
    assert_all_is_told(application, done, 3)


def test_a_server_that_is_stopped_by_a_signal_tells_all_and_dies_by_that_signal(application: Application) -> None:
    done = run(application, SERVER)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert_all_is_told(application, done, 1)


DROPPED = """
import gc, signal
import openai

gc.disable()
cycle = [openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}], stream=True)]
next(cycle[0])
cycle.append(cycle)
del cycle
signal.raise_signal(signal.SIGTERM)
"""


def test_a_stream_that_was_dropped_within_a_cycle_is_told_before_its_process_dies_by_a_signal(application: Application) -> None:
    """As frameworks leave them behind whose clients hung up."""
    done = run(application, DROPPED)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert_all_is_told(application, done, 1)


def test_raising_signals_is_the_applications_own_again_after_uninstrument() -> None:
    original = signal.raise_signal
    spanledger.instrument()
    try:
        assert signal.raise_signal is not original
    finally:
        spanledger.uninstrument()
    assert signal.raise_signal is original
