"""An agent that says who pays: a workflow for each customer, with parallel steps, a retried step, a tool and a stream.

opentelemetry-instrument python agent.py
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import openai

import spanledger

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up_order",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


@spanledger.plugin(price="0.002 USD")
def look_up_order(query: str) -> str:
    """Finds an order by what a customer says about it; a service that costs something each time."""
    return f"Order 4711 left the warehouse on Friday. (asked: {query})"


async def classify(gpt: openai.AsyncOpenAI, ticket: str) -> None:
    """A cheap question first; its tokens are booked as classification."""
    async with spanledger.step("classify", activity="classification"):
        await gpt.chat.completions.create(
            model="gpt-4o-mini", max_tokens=20, messages=[{"role": "user", "content": f"One word: what is this about? {ticket}"}]
        )


async def remember(gpt: openai.AsyncOpenAI, ticket: str) -> None:
    """Embeddings for the agent's memory."""
    async with spanledger.step("remember", activity="memory"):
        await gpt.embeddings.create(model="text-embedding-3-small", input=ticket, encoding_format="float")


async def research(claude: anthropic.AsyncAnthropic, number: int, ticket: str) -> str:
    """One of several steps that run at the same time, under the same budgets."""
    async with spanledger.step(f"research-{number}"):
        answer = await claude.messages.create(
            model="claude-haiku-4-5", max_tokens=200, messages=[{"role": "user", "content": f"Fact {number} about: {ticket}"}]
        )
        return "".join(block.text for block in answer.content if block.type == "text")


async def consult_tool(gpt: openai.AsyncOpenAI, ticket: str) -> str:
    """The model asks for a tool, gets its result and answers."""
    async with spanledger.step("consult"):
        messages: list[Any] = [{"role": "user", "content": ticket}]
        asked = (await gpt.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[TOOL])).choices[0].message
        messages.append(asked.model_dump(exclude_none=True))
        for call in asked.tool_calls or ():
            result = look_up_order(**json.loads(call.function.arguments))  # type: ignore[union-attr]  # we offer no custom tools
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        answer = await gpt.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[TOOL])
        return answer.choices[0].message.content or ""


async def summarise(gpt: openai.AsyncOpenAI, facts: list[str]) -> str:
    """Tried with little room; if the answer is cut short, the step runs again, and only that attempt is billable."""
    for room in (10, 400):
        async with spanledger.step("summarise") as attempt:
            messages: Any = [{"role": "user", "content": " ".join(facts)}]
            answer = await gpt.chat.completions.create(model="gpt-4o-mini", max_tokens=room, messages=messages)
            print(f"  summarise, attempt {attempt.attempt}: {answer.choices[0].finish_reason}")
            if answer.choices[0].finish_reason == "stop":
                return answer.choices[0].message.content or ""
    return ""


async def reply(claude: anthropic.AsyncAnthropic, summary: str) -> None:
    """Streams the answer to the customer, who goes away in the middle: what was read is counted all the same."""
    async with spanledger.step("reply"):
        stream = await claude.messages.create(
            model="claude-sonnet-5", max_tokens=300, stream=True, messages=[{"role": "user", "content": f"Write the reply. {summary}"}]
        )
        seen = 0
        async for event in stream:
            seen += event.type == "content_block_delta"
            if seen == 3:  # somewhere in the middle
                break
        await stream.close()


async def answer_ticket(customer: str, ticket: str) -> None:
    """One run of the workflow; everything in it is booked to the customer."""
    async with openai.AsyncOpenAI() as gpt, anthropic.AsyncAnthropic() as claude, spanledger.workflow("answer-ticket", customer=customer):
        await asyncio.gather(classify(gpt, ticket), remember(gpt, ticket))
        facts = await asyncio.gather(*(research(claude, number, ticket) for number in (1, 2, 3)))
        await consult_tool(gpt, ticket)
        await reply(claude, await summarise(gpt, list(facts)))
        for activity, total in spanledger.totals().items():
            print(f"  {activity:15} {total.calls} calls, {total.input_tokens + total.output_tokens} tokens, {total.nano_usd / 1e9:.9f} USD")


async def main() -> None:
    """Two customers, one after the other."""
    for customer, ticket in (("acme", "Where is our order of forty lamps?"), ("globex", "The invoice names the wrong street.")):
        print(f"{customer}: {ticket}")
        await answer_ticket(customer, ticket)


if __name__ == "__main__":
    asyncio.run(main())
