"""The price file (``SPANLEDGER_PRICES``): what may be in it, and reading it with the line of every mistake.

An example of everything that may be in it is in ``docs/configuration.md``.
Numbers never pass through floating point: YAML scalars are read as text and parsed as decimals.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from spanledger.errors import ConfigurationError
from spanledger.model import Unit  # noqa: TC001  # pydantic reads annotations at run time
from spanledger.pricing.plugin_price import plugin_price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

_INPUT_PARTS = ("cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image", "cache_read_audio", "cache_read_image")
_OUTPUT_PARTS = ("reasoning", "output_audio", "output_image")
TOKEN_PRICES = ("input", "output", *_INPUT_PARTS, *_OUTPUT_PARTS)


def _date(value: object) -> object:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


Price = Annotated[Decimal, Field(ge=0, le=10**9, max_digits=24, decimal_places=15)]
Date = Annotated[dt.date, BeforeValidator(_date)]
Name = Annotated[str, Field(min_length=1)]

_EXPECTED = {
    **dict.fromkeys(TOKEN_PRICES, "a decimal number of USD per million tokens, not negative, such as 2.50"),
    "per_call": "a decimal number of USD, not negative, such as 0.005",
    "per_request": "decimal numbers of USD, not negative, such as {web_search: 0.01}",
    "context": "a mapping such as {service_tier: flex}",
    "provider": "a provider's name, not empty",
    "model": "a model's name or glob, not empty",
    "effective_from": "a date such as 2026-01-31",
    "effective_to": "a date such as 2026-01-31",
    "factor": "a decimal number above 0, such as 0.9",
    "models": "a list of entries, each with a model and prices for input, output, or calls: [{model: my-llama, input: 1, output: 2}]",
    "multipliers": "a list of entries, each with a factor: [{model: claude-*, factor: 0.9}]",
    "aliases": "a mapping of your names to model names, such as {my-deployment: openai/gpt-4o}",
    "plugins": "prices such as 0.002 USD or 250 tokens",
}


_NOT = {"tuple_type": "not a list", "dict_type": "not a mapping", "model_type": "not a mapping"}
"""What pydantic says in the words of Python."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Dated(_Strict):
    provider: Name | None = None
    effective_from: Date | None = None
    effective_to: Date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.effective_from and self.effective_to and self.effective_to < self.effective_from:
            message = "effective_to is before effective_from"
            raise ValueError(message)
        return self


class ModelEntry(_Dated):
    """One entry of ``models``: prices in USD per million tokens."""

    model: Name
    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    reasoning: Price | None = None
    input_audio: Price | None = None
    output_audio: Price | None = None
    cache_read_audio: Price | None = None
    input_image: Price | None = None
    output_image: Price | None = None
    cache_read_image: Price | None = None
    per_request: dict[Name, Price] = Field(default_factory=dict)
    per_call: Price | None = None
    context: dict[Name, Name] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for total, parts in (("input", _INPUT_PARTS), ("output", _OUTPUT_PARTS)):
            if getattr(self, total) is None and any(getattr(self, part) is not None for part in parts):
                message = f"a part of {total} has a price, but {total} has none"
                raise ValueError(message)
        if self.input is None and self.output is None and self.per_call is None and not self.per_request:
            message = "no price given"
            raise ValueError(message)
        return self


class Multiplier(_Dated):
    """One entry of ``multipliers``."""

    model: Name = "*"
    factor: Decimal = Field(gt=0, le=1000, max_digits=15, decimal_places=12)


class PriceFile(_Strict):
    """The whole file."""

    models: tuple[ModelEntry, ...] = ()
    aliases: dict[Name, Name] = Field(default_factory=dict)
    multipliers: tuple[Multiplier, ...] = ()
    plugins: dict[Name, Annotated[tuple[Unit, int], BeforeValidator(plugin_price)]] = Field(default_factory=dict)


_SECTIONS: dict[int | str, type[BaseModel]] = {"models": ModelEntry, "multipliers": Multiplier}


_NOTHING = ""  # a section whose entries are all commented out


def read(text: str, name: str) -> PriceFile | list[ConfigurationError]:
    """Parses and validates the text of a price file; a list of what is wrong if anything is.

    Args:
        text: the YAML text.
        name: how the file is called in messages.
    """
    try:
        loader = yaml.BaseLoader(text)
        node = loader.get_single_node()
        content = loader.construct_document(node) if node else None
        twice = list(_repeated_keys(node)) if node else []
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        return [ConfigurationError(where, f"not YAML ({problem})", "a YAML mapping")]
    if not isinstance(content, dict):
        problem = "nothing in it" if node is None else "no mapping at the top"
        return [ConfigurationError(f"{name}:1", problem, f"some of the keys {', '.join(PriceFile.model_fields)}")]
    problems = [ConfigurationError(f"{name}:{line}", f"{key!r} is there twice", "every key once") for key, line in twice]
    try:
        file = PriceFile.model_validate({key: value for key, value in content.items() if value != _NOTHING})
    except ValidationError as error:
        return problems + [_problem(detail, node, name) for detail in error.errors(include_url=False)]
    return problems or file


def _problem(detail: ErrorDetails, node: Any, name: str) -> ConfigurationError:
    path = detail["loc"]
    where = f"{name}:{_line(node, path)}"
    place = ".".join(str(step) for step in path) or "the file"
    if detail["type"] == "extra_forbidden":
        known = _SECTIONS[path[0]] if len(path) > 1 else PriceFile
        return ConfigurationError(where, f"{place} is not a known key", f"one of {', '.join(known.model_fields)}")
    if detail["type"] == "missing":
        return ConfigurationError(where, f"{place} is missing", _EXPECTED[str(path[-1])])
    found = f"{place} is {detail['input']!r:.60}" if isinstance(detail["input"], str) else place
    expected = next((_EXPECTED[step] for step in map(str, reversed(path)) if step in _EXPECTED), "")
    told = _NOT.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return ConfigurationError(where, f"{found} ({told})", expected)


def _line(node: Any, path: tuple[str | int, ...]) -> int:
    """The line of the value at a path, or of the last part of the path that exists."""
    line = int(node.start_mark.line) + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                break
            line, node = int(pair[0].start_mark.line) + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = int(node.start_mark.line) + 1
        else:
            break
    return line


def _repeated_keys(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)
