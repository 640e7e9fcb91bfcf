"""An application that makes calls, forks, and makes calls on both sides."""

from __future__ import annotations

import os

import openai
from opentelemetry import metrics, trace


def calls(count: int) -> None:
    client = openai.OpenAI()
    for _ in range(count):
        client.chat.completions.create(model="gpt-4o-mini", max_tokens=5, messages=[{"role": "user", "content": "hello"}])


calls(20)
child = os.fork()
calls(7 if child == 0 else 5)
trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]  # the SDK's
metrics.get_meter_provider().force_flush()  # type: ignore[attr-defined]
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
