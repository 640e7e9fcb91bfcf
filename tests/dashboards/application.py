"""An application that does everything once that a dashboard shows, again and again until a file named as its argument appears."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import anthropic
import openai

import spanledger

LONG = "What a long rule this is, and it is the same in every call of the day. " * 40


@spanledger.plugin(price="0.001 USD")
def search(query: str) -> str:
    """A tool that fails now and then."""
    if query == "nothing":
        raise LookupError(query)
    return query


def workflow(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    """A run with a step that is tried twice, a tool that fails once, a cached prompt, a stream, and embeddings for the memory."""
    with spanledger.workflow("answer", customer="acme"):
        for room in (1, 400):
            with spanledger.step("summarise"):
                gpt.chat.completions.create(model="gpt-4o-mini", max_tokens=room, messages=[{"role": "user", "content": LONG}])
        claude.messages.create(
            model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": "Hello, ada@example.com"}],
            system=[{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}],
        )  # fmt: skip
        stream = gpt.chat.completions.create(
            model="gpt-4o-mini", stream=True, stream_options={"include_usage": True}, messages=[{"role": "user", "content": "Again"}]
        )
        list(stream)
        with spanledger.step("remember", activity="memory"):
            gpt.embeddings.create(model="text-embedding-3-small", input="Hello", encoding_format="float")
        search("something")


def mishaps(gpt: openai.OpenAI) -> None:
    """A model without a price, an error of the provider, a failing tool, a failed run, and a call that a budget refuses."""
    message = [{"role": "user", "content": "Hello"}]
    gpt.chat.completions.create(model="model-nobody-knows", messages=message)  # type: ignore[arg-type]  # a plain dictionary
    for doomed in (
        lambda: gpt.chat.completions.create(model="gpt-4o-mini", messages=message, extra_headers={"x-behaviour": "error-500"}),
        lambda: search("nothing"),
        lambda: gpt.chat.completions.create(model="gpt-4o", max_tokens=4000, messages=message),
    ):
        with contextlib.suppress(Exception), spanledger.workflow("doomed"):
            doomed()


def broken(_event: object) -> None:
    """A subscriber with a mistake: an internal error in the sense of the metric."""
    raise ZeroDivisionError


def main() -> None:
    """Works until told to stop."""
    spanledger.subscribe(broken)
    gpt, claude = openai.OpenAI(max_retries=0), anthropic.Anthropic()
    while not Path(sys.argv[1]).exists():
        workflow(gpt, claude)
        mishaps(gpt)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
