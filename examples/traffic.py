"""Traffic for the views: many calls of every kind, in workflows with parallel steps.

    opentelemetry-instrument python traffic.py --calls 2000 --seed 1

Answers, streams, streams that nobody reads to the end, provider errors that the client's own retries overcome and such that they do not,
timeouts, embeddings, tools, and steps that fail and run again. Prints what happened as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter
from typing import Any

import anthropic
import openai

import spanledger

KINDS = {
    "chat": 25, "stream": 12, "stream_without_usage": 6, "abandoned": 8, "messages": 15, "message_stream": 8, "embedding": 10, "tool": 8,
    "overcome_error": 3, "error": 3, "timeout": 2,
}  # fmt: skip
"""Kind of call -> how many of a hundred."""


@spanledger.plugin(price="0.002 USD")
def look_up(query: str) -> str:
    """A tool that costs something each time."""
    return f"found {query}"


class Traffic:
    """Makes calls and counts what became of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.gpt = openai.AsyncOpenAI(max_retries=2, timeout=30)
        self.claude = anthropic.AsyncAnthropic(max_retries=2, timeout=30)

    def _words(self) -> Any:
        return [{"role": "user", "content": " ".join(self.random.choices(["lamp", "order", "street", "invoice", "Friday"], k=20))}]

    async def call(self) -> None:
        """One call of a random kind; failures of the provider are part of the traffic."""
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        try:
            await getattr(self, kind)()
            self.done[kind] += 1
        except (openai.APIError, anthropic.APIError) as error:
            self.done[type(error).__name__] += 1

    async def chat(self) -> None:
        await self.gpt.chat.completions.create(model="gpt-4o-mini", max_tokens=50, messages=self._words())

    async def stream(self) -> None:
        stream = await self.gpt.chat.completions.create(
            model="gpt-4o", stream=True, stream_options={"include_usage": True}, messages=self._words()
        )
        async for _ in stream:
            pass

    async def stream_without_usage(self) -> None:
        stream = await self.gpt.chat.completions.create(model="gpt-4o-mini", stream=True, messages=self._words())
        async for _ in stream:
            pass

    async def abandoned(self) -> None:
        stream = await self.claude.messages.create(model="claude-haiku-4-5", max_tokens=80, stream=True, messages=self._words())
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()

    async def messages(self) -> None:
        await self.claude.messages.create(model="claude-sonnet-5", max_tokens=80, messages=self._words())

    async def message_stream(self) -> None:
        async with self.claude.messages.stream(model="claude-haiku-4-5", max_tokens=80, messages=self._words()) as stream:
            async for _ in stream.text_stream:
                pass

    async def embedding(self) -> None:
        await self.gpt.embeddings.create(model="text-embedding-3-small", input=self._words()[0]["content"], encoding_format="float")

    async def tool(self) -> None:
        look_up(self._words()[0]["content"])

    async def overcome_error(self) -> None:
        await self.gpt.with_options(max_retries=2).chat.completions.create(model="flaky", messages=self._words())

    async def error(self) -> None:
        await self.gpt.with_options(max_retries=0).chat.completions.create(model="error-400", messages=self._words())

    async def timeout(self) -> None:
        await self.gpt.with_options(max_retries=0, timeout=0.05).chat.completions.create(model="slow-0.3", messages=self._words())

    async def step(self, name: str, calls: int) -> None:
        """A step of some calls, one after the other; now and then its first attempt fails after them, and it runs again."""
        for fails in (self.random.random() < 0.15, False):
            try:
                async with spanledger.step(name):
                    for _ in range(calls):
                        await self.call()
                    if fails:
                        raise LookupError  # the answers were no good
            except LookupError:
                self.done["retried step"] += 1
            else:
                return

    async def run(self, calls: int) -> None:
        """Workflows of four parallel steps until so many calls were made."""
        while (made := sum(self.done.values()) - self.done["retried step"]) < calls:
            async with spanledger.workflow("traffic", customer=self.random.choice(["acme", "globex"])):
                each = max(1, min(5, (calls - made) // 4))
                await asyncio.gather(*(self.step(f"step-{number}", each) for number in range(4)))
        await asyncio.gather(self.gpt.close(), self.claude.close())


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description="Traffic for the views.")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    traffic = Traffic(arguments.seed)
    asyncio.run(traffic.run(arguments.calls))
    print(json.dumps(dict(traffic.done)))


if __name__ == "__main__":
    main()
