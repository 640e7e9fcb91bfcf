"""An application that knows nothing of Spanledger: OpenAI and Anthropic clients, a stream, a tool.

Run it as it is, and its calls are counted, priced and held to a budget:

    SPANLEDGER_BUDGET_DAY="0.05 USD per day" SPANLEDGER_PLUGINS=agent_tools:send_email \
        opentelemetry-instrument python zero_code.py
"""

from __future__ import annotations

import anthropic
import openai
from agent_tools import send_email

REQUEST = "Please tell ada.lovelace@example.com that her parcel arrives on Monday."


def main() -> None:
    """Answers one customer, in five calls of which the last is dear."""
    gpt, claude = openai.OpenAI(), anthropic.Anthropic()

    draft = gpt.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": REQUEST}])
    print("draft:    ", draft.choices[0].message.content)

    words = gpt.chat.completions.create(
        model="gpt-4o-mini", stream=True, messages=[{"role": "user", "content": "Say it again, but kindly."}]
    )
    print("streamed: ", "".join(chunk.choices[0].delta.content or "" for chunk in words if chunk.choices))

    with claude.messages.stream(
        model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "Is this polite?"}]
    ) as review:
        print("review:   ", "".join(review.text_stream))

    print("mail:     ", send_email(to="ada.lovelace@example.com", text=draft.choices[0].message.content or ""))

    try:
        claude.messages.create(model="claude-opus-4-1", max_tokens=8000, messages=[{"role": "user", "content": "Now write a book of it."}])
    except Exception as refusal:  # noqa: BLE001  # an application that knows nothing of budgets sees an exception like any other
        print("refused:  ", f"{type(refusal).__name__}: {refusal}")


if __name__ == "__main__":
    main()
