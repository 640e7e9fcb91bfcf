"""The demo: both examples against the local provider, then the books. Nothing leaves this machine.

    python examples/demo.py                     # in an environment with spanledger, openai and anthropic installed

Everything is set by environment variables, printed as they are used; the examples are run by ``opentelemetry-instrument``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from local_provider import LocalProvider

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DEAR_MODEL = "claude-opus-4-1"
BUDGETS = {
    "SPANLEDGER_BUDGET_DAY": "0.05 USD per day, warn at 80%",
    "SPANLEDGER_BUDGET_RUN": "5k tokens per workflow",
    "SPANLEDGER_BUDGET_CUSTOMER": "0.02 USD per customer per day",
}
NO_NETWORK = {"OTEL_TRACES_EXPORTER": "spanledger", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
PLUGINS = {"SPANLEDGER_PLUGINS": "agent_tools:send_email"}
CAPTURE = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}


def show(title: str, shown: dict[str, str], *command: str, base: dict[str, str]) -> None:
    """Prints a command as one would type it, and runs it with these variables on top of ``base``."""
    print(f"\n\033[1m# {title}\033[0m" if sys.stdout.isatty() else f"\n# {title}")
    for name, value in shown.items():
        print(f'  export {name}="{value}"')
    print(f"  $ {' '.join(command)}\n", flush=True)
    program = BIN / command[0]
    subprocess.run([str(program), *command[1:]], cwd=HERE, env={**base, **shown}, check=True)  # our own commands


def environment(provider: LocalProvider, ledger: Path) -> dict[str, str]:
    """What the examples run with: the local provider for both clients, and books of their own."""
    ours = ("SPANLEDGER_", "OTEL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **inherited,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "SPANLEDGER_LEDGER": f"sqlite:///{ledger}",
        "OTEL_SERVICE_NAME": "demo",
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "local",
        "ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "local",
    }


def play(provider: LocalProvider, ledger: Path) -> None:
    """Runs both examples and shows the books after each."""
    base = environment(provider, ledger)
    python = ("opentelemetry-instrument", "python")
    settings = {**NO_NETWORK, **BUDGETS}
    show("An application that knows nothing of us", {**settings, **PLUGINS, **CAPTURE}, *python, "zero_code.py", base=base)
    dear = sum(request["body"].get("model") == DEAR_MODEL for request in provider.requests)
    print(f"\nThe provider got {len(provider.requests)} requests, {dear} of them for {DEAR_MODEL}: the refused call was never sent.")
    base |= settings
    show("Its traces: the e-mail address was masked before it was stored", {}, "spanledger", "trace", "--last", "5", base=base)
    show("An agent with a workflow for each customer", {}, *python, "agent.py", base=base)
    show("What was used, by model", {}, "spanledger", "report", "--by", "model", base=base)
    show("By customer and activity", {}, "spanledger", "report", "--by", "customer", "--by", "activity", base=base)
    show("The newest trace", {}, "spanledger", "trace", base=base)
    show("Budgets", {}, "spanledger", "budgets", base=base)


def main() -> None:
    """Plays the demo with books that are thrown away, or kept where ``--ledger`` says."""
    parser = argparse.ArgumentParser(description="The demo of Spanledger.")
    parser.add_argument("--ledger", type=Path, help="keep the books in this file")
    ledger = parser.parse_args().ledger
    with LocalProvider() as provider, tempfile.TemporaryDirectory() as folder:
        try:
            play(provider, (ledger or Path(folder) / "ledger.db").absolute())
        except subprocess.CalledProcessError as failure:
            sys.exit(f"the demo stopped: {failure}")


if __name__ == "__main__":
    main()
