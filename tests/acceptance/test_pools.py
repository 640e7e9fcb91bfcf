"""Calls in the processes of a pool are booked to the scope in which the work was handed in."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Application

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PROGRAM = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import spanledger
spanledger.instrument()

@spanledger.plugin
def look_up(what):
    return what

def work(what):
    assert look_up(what) == what
    return what

def executor():
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield "submit", lambda: pool.submit(work, "x").result()
        yield "map", lambda: list(pool.map(work, ["x"]))[0]
        pool.submit(work, "x").result()

def pool():
    pool = context.Pool(1)
    yield "apply", lambda: pool.apply(work, ("x",))
    yield "map", lambda: pool.map(work, ["x"])[0]
    yield "starmap", lambda: pool.starmap(work, [("x",)])[0]
    yield "imap", lambda: next(pool.imap(work, ["x"]))
    yield "imap_unordered", lambda: next(pool.imap_unordered(work, ["x"]))
    pool.apply(work, ("x",))
    pool.close()
    pool.join()

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    for customer, hand_in in {kind}():
        with spanledger.workflow("answer", customer=customer):
            assert hand_in() == "x"
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("kind", "customers"), [("executor", ["map", "submit"]), ("pool", ["apply", "imap", "imap_unordered", "map", "starmap"])]
)
def test_each_piece_of_work_brings_its_scope(application: Application, method: str, kind: str, customers: list[str]) -> None:
    script = application.home / "program.py"
    script.write_text(PROGRAM.replace("{method}", method).replace("{kind}", kind))
    done = application.run("python", str(script))
    assert done.returncode == 0, done.stderr
    assert _booked(application) == [(None, None), *(("answer", customer) for customer in customers)]


STARTED = """
import multiprocessing, multiprocessing.pool
import spanledger
spanledger.instrument()

@spanledger.plugin
def look_up(what):
    return what

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with spanledger.workflow("answer", customer="acme"):
        process = context.Process(target=look_up, args=("x",))
        process.start()
        process.join()
        with multiprocessing.pool.ThreadPool(1) as pool:
            pool.map(look_up, ["x"])
        assert spanledger.totals()["plugin"].calls == 1
"""


def test_a_process_of_its_own_and_threads_keep_the_scope_they_were_started_in(application: Application) -> None:
    script = application.home / "program.py"
    script.write_text(STARTED)
    done = application.run("opentelemetry-instrument", "python", str(script))
    assert done.returncode == 0, done.stderr
    assert _booked(application) == [("answer", "acme")] * 2


def _booked(application: Application) -> list[tuple[str | None, str | None]]:
    with sqlite3.connect(application.ledger) as db:
        return db.execute("SELECT workflow, customer FROM entry ORDER BY customer").fetchall()
