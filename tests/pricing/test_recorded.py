"""Estimates against what providers counted, in recorded traffic."""

from __future__ import annotations

import json
import statistics

import pytest

from spanledger.adapters import load
from spanledger.engine.adapter import Wire
from spanledger.model import Called, Response
from spanledger.pricing.estimate import estimate_input, estimate_text

PROVIDERS = {
    "openai": "openai",
    "azure-openai": "azure.ai.openai",
    "anthropic": "anthropic",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
}
CONTENT = (
    "messages", "input", "system", "instructions", "tools", "functions", "response_format", "text", "contents", "systemInstruction",
    "system_instruction", "prompt", "output_config", "output_format",
)  # fmt: skip
ENDPOINTS = {"chat.completions", "responses", "messages", "generateContent", "streamGenerateContent", "embeddings"}
HOSTED = (
    "web_search",
    "file_search",
    "code_",
    "mcp",
    "computer",
    "bash",
    "text_editor",
    "memory",
    "image_gen",
    "tool_search",
    "shell",
    "web_fetch",
)
HOSTED_KEYS = {"googleSearch", "google_search", "codeExecution", "code_execution", "url_context", "urlContext"}


def _events(body):
    for line in body.splitlines():
        if line.startswith("data:") and line.strip() != "data: [DONE]":
            try:
                yield json.loads(line[5:])
            except ValueError:
                continue


UNSEEN = (
    '"type":"thinking"',
    '"type": "thinking"',
    "redacted_thinking",
    "server_tool_use",
    "_search_call",
    "code_interpreter_call",
    "mcp_call",
)


def _visible(usage):
    """Output tokens that were sent as text: all but reasoning."""
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    reasoning = details.get("reasoning_tokens") or details.get("thinking_tokens") or 0
    return 0 if reasoning else usage.get("completion_tokens", usage.get("output_tokens")) or 0


APIS = {
    "chat.completions": ("openai", "chat.completions.completions", "Completions.create"),
    "responses": ("openai", "responses.responses", "Responses.create"),
    "messages": ("anthropic", "messages.messages", "Messages.create"),
}
ENDS = {"response.completed", "response.incomplete", "response.failed", "message_delta"}


def _reader(record):
    library, module, name = APIS[record["endpoint"]]
    return next(target.reader for target in load(library).targets if target.name == name and target.module.endswith(f".resources.{module}"))


def _asked(record):
    """What becomes input tokens, as the adapter hands it over where there is one for the API."""
    body = record["request_body"]
    if record["endpoint"] in APIS:
        return _reader(record).request(None, (), body).content
    return {key: body[key] for key in CONTENT if key in body}


def _received(record):
    """The pieces that the adapter keeps of a stream which is cut before it tells its usage."""
    reader, told = _reader(record), Response()
    for event in _events(record["response_body"]):
        if event.get("type") not in ENDS:
            reader.chunk(json.loads(json.dumps({**event, "usage": None}), object_hook=Wire), told)
    return told.text


@pytest.mark.parametrize("provider", ["openai", "azure-openai", "anthropic"])
@pytest.mark.parametrize("calls", [False, True], ids=["all", "with calls of tools"])
def test_the_output_of_a_stream_is_told_from_its_text_within_15_percent(recorded, provider, calls):
    errors = []
    for record in recorded(provider):
        usage, body = record["usage"], record["response_body"]
        if not (record["streaming"] and usage and record["endpoint"] in APIS) or any(mark in body for mark in UNSEEN):
            continue
        truth, pieces = _visible(usage), _received(record)
        if truth and pieces and (not calls or any(isinstance(piece, Called) for piece in pieces)):
            errors.append(abs(estimate_text(pieces, PROVIDERS[provider], record["model"]) - truth) / truth)
    if len(errors) >= 5 or not calls:
        assert len(errors) >= (5 if provider == "azure-openai" else 60 if calls else 200)
        assert statistics.median(errors) <= 0.15


def _input_truth(usage):
    if "promptTokenCount" in usage:
        return usage["promptTokenCount"]
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    return usage.get("prompt_tokens", usage.get("input_tokens", 0)) + cached


def _knowable(body):
    """Whether all of the input is in the request: no stored conversation, no hosted tool that feeds the model more."""
    if any(body.get(key) for key in ("previous_response_id", "conversation", "cachedContent", "mcp_servers", "web_search_options")):
        return False
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    return not any(str(tool.get("type", "")).startswith(HOSTED) or HOSTED_KEYS & tool.keys() for tool in tools)


def test_nearly_all_requests_cost_no_more_input_than_estimated(recorded):
    ratios = []
    for provider, name in PROVIDERS.items():
        for record in recorded(provider):
            body, usage = record["request_body"], record["usage"]
            if not isinstance(body, dict) or not usage or record["endpoint"] not in ENDPOINTS or not _knowable(body):
                continue
            truth = _input_truth(usage)
            if truth:
                ratios.append(estimate_input(_asked(record), name, body.get("model") or record["model"]) / truth)
    assert len(ratios) > 4000
    assert sum(ratio >= 1 for ratio in ratios) / len(ratios) >= 0.97
    assert statistics.median(ratios) <= 2
