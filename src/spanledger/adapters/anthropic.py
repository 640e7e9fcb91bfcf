"""The ``anthropic`` client, with its variants for Bedrock, Vertex and Foundry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from spanledger.adapters._blocks_shape import blocks_chunk, blocks_response
from spanledger.adapters._hosts import endpoint
from spanledger.adapters._messages import blocks_input
from spanledger.adapters._read import Counts, contents, context, fields, given, lists_for_iterators, params, rule, strings, text
from spanledger.adapters._sent import never_sent
from spanledger.engine.adapter import Adapter, Reader, Target
from spanledger.model import Activity, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTENT = ("messages", "system", "tools")


def _output_type(value: Any) -> str | None:
    """``output_format``: a class, or a schema; ``output_config``: only if it has a format."""
    return "json" if isinstance(value, type) or fields(value).get("type") or fields(value).get("format") else None


_RULES = {
    **{name: rule(name) for name in ("temperature", "top_p", "top_k")},
    "service_tier": rule("own_service_tier", text),
    "stop_sequences": rule("stop_sequences", strings),
    "output_format": rule("output_type", _output_type),
}
_CONFIG = {"output_config": rule("output_type", _output_type)}
_EFFORT = {"effort": rule("reasoning_level", text)}
_CONTEXT = ("service_tier", "speed", "inference_geo")


def _request(instance: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any], *, streaming: bool = False) -> Request:
    sent = given(kwargs)
    found = params(sent, _RULES)
    provider, address, port = endpoint(instance, "anthropic")
    model, config, mark = sent.get("model"), sent.get("output_config"), sent.get("cache_control")
    if config is not None:
        found |= params({"output_config": config}, _CONFIG) | params(fields(config), _EFFORT)
    content = contents(sent, _CONTENT)
    if sent.get("output_format") is not None or config is not None:
        content += _formats(sent)
    if mark is not None and fields(mark).get("type"):  # a mark on the request stands for one on its last block
        content = ({"cache_control": mark}, *content)
    return Request(  # by position, which takes half the time
        "chat",
        Activity.LLM,
        provider,
        model if isinstance(model, str) and model else None,
        streaming or bool(sent.get("stream")),
        Counts()(sent.get("max_tokens")),
        1,
        address,
        port,
        found,
        content,
        _context(instance, sent, provider),
    )


def _context(instance: Any, sent: Mapping[str, Any], provider: str) -> dict[str, str] | None:
    """On Vertex, also the client's region: all but ``global`` cost more."""
    asked = context(sent, _CONTEXT)
    region = text(getattr(instance._client, "region", None)) if provider == "gcp.vertex_ai" else None  # noqa: SLF001  # as in ``endpoint``
    return asked if region is None else {**(asked or {}), "data_residency": region}


def _formats(sent: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The format of the answer, by its name: for one, Claude is told more than its schema."""
    form = fields(sent.get("output_config")).get("format") or next(iter(contents(sent, ("output_format",))), None)
    return () if form is None else ({"output_format": form},)


def _prepare(kwargs: dict[str, Any], _ask_usage: bool) -> dict[str, Any]:
    return lists_for_iterators(kwargs, ("messages", "system", "tools"))


_reader = partial(Reader, never_sent=never_sent)
MESSAGES = _reader(_request, blocks_response, blocks_chunk, _prepare, blocks_input)
MESSAGES_STREAM = _reader(partial(_request, streaming=True), blocks_response, blocks_chunk, _prepare, blocks_input)


def _messages(module: str, *, stream: str = "0", parse: str) -> tuple[Target, ...]:
    """Targets of both classes of a module; ``stream`` and ``parse`` say since when it has them."""
    return tuple(
        target
        for cls in ("Messages", "AsyncMessages")
        for target in (
            Target(module, f"{cls}.create", MESSAGES),
            Target(module, f"{cls}.stream", MESSAGES_STREAM, tap="_raw_stream", since=stream),
            Target(module, f"{cls}.parse", MESSAGES, since=parse),
        )
    )


ADAPTER = Adapter(
    name="anthropic",
    requires="anthropic >= 0.44",
    targets=(
        *_messages("anthropic.resources.messages.messages", parse="0.80"),
        *_messages("anthropic.resources.beta.messages.messages", parse="0.75"),
        # These classes hold the functions of the beta class as they were when the module was imported.
        *_messages("anthropic.lib.bedrock._beta_messages", stream="2.12", parse="2.12"),
        *_messages("anthropic.lib.vertex._beta_messages", stream="0.75", parse="2.12"),
    ),
    native_scopes=("com.anthropic.sdk.python",),
)
