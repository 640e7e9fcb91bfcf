"""Writes ``docs/configuration.md`` from ``spanledger.settings.VARIABLES``, so that the page and the program cannot differ.

    make docs

A test compares the page with what this prints.
"""

from __future__ import annotations

from pathlib import Path

from spanledger.cli import NO_NETWORK
from spanledger.settings import VARIABLES, Variable

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

*Written by `make docs` from `src/spanledger/settings.py`; change it there.*

Everything is set by environment variables. None is needed. A value that cannot be understood is reported (in the log, and by
`spanledger status`) and its default is used: the application starts in any case.

| variable | value | default | what it does |
| --- | --- | --- | --- |
"""

BUDGETS = """
## Budgets

One variable is one budget; what follows `SPANLEDGER_BUDGET_` is its name.

    SPANLEDGER_BUDGET_TEAM="200 USD per month"
    SPANLEDGER_BUDGET_RUN="50k tokens per workflow"
    SPANLEDGER_BUDGET_CUSTOMER="5 USD per customer per day, warn at 80%"
    SPANLEDGER_BUDGET_OPUS="10 USD per user per day for model=claude-opus-*, then warn"

    <amount> <USD|tokens|calls> per <key and/or window> [for <attribute>=<glob> ...] [, warn at <n>% ...] [, then block|warn]

- **keys**: workflow, step, customer, user, agent, campaign, session, service, model, provider, plugin, activity, or a name of your own.
  Each value of the key has an account of its own. A call that has no such key is outside the budget.
- **windows**: run (one run of a workflow), minute, hour, day, week, month, in `SPANLEDGER_TIMEZONE`. With no window, `per workflow` and
  `per step` mean each run; any other budget never starts anew. What a run has spent is forgotten seven days after its last call, and
  `spanledger budgets` shows the runs of the last hour or two.
- **for**: only calls whose attributes match; globs as in file names, in which capitals make no difference for `model`, `provider`,
  `activity` (llm, embedding, memory, classification, plugin) and `operation` (chat, embeddings, ...).
- **then block** (the default) refuses the call that would exceed the budget, before it is sent: the application sees
  `spanledger.BudgetExceeded`. **then warn** lets it pass and tells.

A budget counts from when it is first set: calls that are in the books already are not added to it. With another name, unit, window, key
or filter it is another budget, which starts at 0; with another limit, warning or action it stays what it is. Programs with one ledger
and the same budget share its accounts.

## The price file

`SPANLEDGER_PRICES` names a YAML file for models that have no price, for prices of your own contract, and for plugins. All of it is
optional; prices of tokens are in USD **per million**. It is read again when it changes. Of a file with a mistake nothing is used: the log
and `spanledger status` name the line, and the last good version stays in force.

At a host that Spanledger does not know (a gateway, a server of your own) the provider is `openai` or `anthropic`, as the client's library:
that, or no provider at all, is what an entry for its models names, and `input: 0, output: 0` is for those that nobody bills.

```yaml
models:                             # replaces the built-in price of these models; the first entry that applies wins
  - provider: openai                # optional
    model: gpt-4o*                  # a name or glob; a name also stands for its dated snapshots, and, where there is no other
                                    # price, for its variants and fine-tuned models (as an estimate)
    input: 2.25                     # USD per million tokens; also cache_read, cache_write, cache_write_1h, reasoning, input_audio,
    output: 9.00                    # output_audio, cache_read_audio, input_image, output_image, cache_read_image
    per_request: {web_search: 0.01} # USD for each use of a tool of the provider
    per_call: 0.005                 # USD for every call
    context: {service_tier: flex}   # optional: only for calls made like this
    effective_from: 2026-01-01      # optional, first day (UTC)
    effective_to: 2026-12-31        # optional, last day (UTC)
  - {model: my-llama, input: 0.20, output: 0.60}
aliases:                            # Azure deployments, ARNs, your own names
  my-deployment: openai/gpt-4o
multipliers:                        # all that apply are multiplied, on top of built-in prices and of those above
  - {provider: anthropic, model: claude-*, factor: 0.9}
plugins:                            # each call; prices in SPANLEDGER_PLUGIN_PRICES come before these
  search: 0.002 USD
  summarise: 250 tokens
```

## What `spanledger run` sets

Where the environment does not say otherwise:

"""


def page() -> str:
    """The whole page."""
    rows = "".join(f"| `{v.name}` | {_cell(v.expected)} | {_default(v)} | {_cell(v.sentence)} |\n" for v in VARIABLES)
    run = "".join(f"    {name}={value}\n" for name, value in NO_NETWORK.items())
    return HEAD + rows + BUDGETS + run + "    SPANLEDGER_LEDGER=<the default ledger>\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(variable: Variable) -> str:
    value = variable.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
