"""Kills processes in the middle of real calls and looks whether the books have every call once.

    python tests/tools/kill_calls.py --times 200

A process that has imported everything forks a child; the child is instrumented and calls the local provider with the real clients from four
threads, each call with an id of its own as scope key; at a random moment it is killed with SIGKILL. At the end expired leases are swept. Every call
that the provider has seen must then be in the ledger, and none twice.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def child(url: str, ledger: str, name: str) -> None:
    """Calls until killed."""
    import openai

    import spanledger
    from spanledger import settings

    environ = {"SPANLEDGER_LEDGER": f"sqlite:///{ledger}", "SPANLEDGER_BUDGET_ALL": "100 USD per day", "SPANLEDGER_LEASE_SECONDS": "60"}
    spanledger.instrument(settings.load({**environ, "XDG_STATE_HOME": str(Path(ledger).parent)}))
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0)

    def work(thread: int) -> None:
        for n in range(10_000):
            call = f"<{name}-{thread}-{n}>"
            stream = n % 3 == 0
            with spanledger.scope(call=call):
                answer = client.chat.completions.create(
                    model="gpt-4o-mini", stream=stream, max_tokens=20, messages=[{"role": "user", "content": f"call {call}"}]
                )
                if stream:
                    list(answer)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def zygote(url: str, ledger: str) -> None:
    """Forks a child for every line read: a child then starts in milliseconds."""
    import openai  # noqa: F401

    import spanledger.install
    import spanledger.pricing.book

    spanledger.pricing.book.PriceBook().warm()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(url, ledger, line.strip())
            os._exit(0)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)


def run(times: int, seed: int) -> tuple[int, int, int, int, int]:
    """Returns calls seen by the provider, entries, of these unknown, calls missing, calls double."""
    sys.path.insert(0, str(EXAMPLES))
    from local_provider import LocalProvider  # type: ignore[import-not-found]

    from spanledger.ledger.sqlite import SqliteLedger

    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, LocalProvider() as provider:
        path = Path(folder) / "ledger.db"
        process = subprocess.Popen(
            [sys.executable, __file__, "--zygote", provider.url, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for n in range(times):
            process.stdin.write(f"p{n}\n")
            process.stdin.flush()
            pid, seen = int(process.stdout.readline()), len(provider.requests)
            while len(provider.requests) == seen:  # a slow machine must not make this a test of processes that never called
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.15))
            os.kill(pid, signal.SIGKILL)
            assert process.stdout.readline().strip() == "dead"
        process.stdin.close()
        process.wait()
        ledger = SqliteLedger(path)
        ledger.sweep(time.time() + 1_000_000)
        entries = list(ledger.entries())
        left = ledger.open_leases()
        ledger.close()
        sent = {found[0] for request in list(provider.requests) if (found := re.search(r"<p\d+-\d+-\d+>", str(request["body"])))}
    booked = collections.Counter(entry.keys["call"] for entry in entries)
    assert left == 0
    unknown = sum(entry.usage.state == "unknown" for entry in entries)
    return len(sent), len(entries), unknown, len(sent - set(booked)), sum(count > 1 for count in booked.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zygote", nargs=2, metavar=("URL", "LEDGER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.zygote:
        zygote(*options.zygote)
        return 0
    sent, entries, unknown, missing, double = run(options.times, options.seed)
    print(
        f"{options.times} kills: {sent} calls seen by the provider, {entries} entries ({unknown} unknown), {missing} missing, {double} double"
    )
    return 1 if missing or double else 0


if __name__ == "__main__":
    sys.exit(main())
