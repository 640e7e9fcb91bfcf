"""An application that knows nothing of Spanledger; run with and without it, it must print the same.

    python application.py [number of chats]

It calls the provider at ``OPENAI_BASE_URL`` and a function of its own, and prints what came back, or what was raised, as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import openai
from application_tools import look_up

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome(work: Callable[[], Any]) -> list[str]:
    """What came back, or what was raised."""
    try:
        return ["returned", str(work())]
    except Exception as error:
        return ["raised", f"{type(error).__module__}.{type(error).__qualname__}", str(error)]


def main(chats: int) -> None:
    client = openai.OpenAI(max_retries=0)

    def chat(text: str, **more: Any) -> Any:
        return client.chat.completions.create(
            **{"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}
        )

    def stream() -> str:
        return "".join(chunk.choices[0].delta.content or "" for chunk in chat("say it again", stream=True))

    def answer(number: int) -> str:
        return chat(f"question {number} from ada@example.com").choices[0].message.content

    outcomes = [outcome(lambda number=number: answer(number)) for number in range(chats)]
    outcomes += [outcome(stream), outcome(lambda: chat("fail", model="gpt-4o-mini+error-500")), outcome(lambda: look_up("key"))]
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
