"""Compares telemetry with the GenAI semantic conventions: what a registry says of spans, metrics and events, and what there is.

    python tests/tools/semconv_check.py --ledger ledger.db              # the spans that `spanledger run` stored
    python tests/tools/semconv_check.py --ledger ledger.db --latest     # against the newer generation of names

The registry is the conventions' own, references resolved, as JSON (https://github.com/open-telemetry/semantic-conventions-genai), with the
JSON schemas of messages beside it. It is looked for in ``SPANLEDGER_SEMCONV_DATA``, else in ``../shared/semconv`` beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
FILES = {"default": "genai_2026-08-03_flat.json", "latest": "genai_2026-10_flat.json"}
GOVERNED = ("gen_ai.", "openai.", "mcp.", "aws.bedrock.")
"""Prefixes whose names the registry decides on."""
PROPOSED = {"gen_ai.usage.cost.amount": "double", "gen_ai.usage.cost.currency": "string"}
"""Not in the conventions yet: https://github.com/open-telemetry/semantic-conventions-genai/pull/443."""
OPERATIONS = {
    **dict.fromkeys(("chat", "generate_content", "text_completion"), "inference"),
    **{
        name: name
        for name in ("embeddings", "retrieval", "fetch_response", "create_agent", "invoke_agent", "execute_tool", "invoke_workflow", "plan")
    },
}
"""Operation -> the word by which the registry's span types and metrics are named after it."""
SCHEMAS = {
    "gen_ai.input.messages": "gen-ai-input-messages.json",
    "gen_ai.output.messages": "gen-ai-output-messages.json",
    "gen_ai.system_instructions": "gen-ai-system-instructions.json",
    "gen_ai.tool.definitions": "gen-ai-tool-definitions.json",
    "gen_ai.tool.call.arguments": "gen-ai-tool-call-arguments.json",
    "gen_ai.tool.call.result": "gen-ai-tool-call-result.json",
}
BUCKETS = {
    "duration": "0.01,0.02,0.04,0.08,0.16,0.32,0.64,1.28,2.56,5.12,10.24,20.48,40.96,81.92",
    "tokens": "1,4,16,64,256,1024,4096,16384,65536,262144,1048576,4194304,16777216,67108864",
}
"""Boundaries that the registry calls by a name; others it lists."""
_OPENAI = {"openai", "azure.ai.openai"}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "enum(string)": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "double": lambda value: type(value) is float,
    "boolean": lambda value: type(value) is bool,
    "string[]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value),
    "template[string]": lambda value: isinstance(value, str),
    "any": lambda value: True,
}


class Finding(NamedTuple):
    """One thing that is not as the conventions say."""

    where: str
    """The span's, metric's or event's name."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Registry:
    """One state of the conventions, and the folder its JSON schemas are in."""

    data: Mapping[str, Any]
    folder: Path | None = None

    def attribute(self, name: str) -> Mapping[str, Any] | None:
        """What is known about an attribute; None for an unknown one."""
        if name in PROPOSED:
            return {"type": PROPOSED[name], "enum": []}
        known: Mapping[str, Any] | None = self.data["attributes"].get(name)
        return known

    def span_type(self, operation: str | None, kind: str) -> Mapping[str, Any] | None:
        """The span type of an operation; the one of this kind where there are several."""
        word = OPERATIONS.get(operation or "", "memory" if operation and "memory" in operation else None)
        found = [span for name, span in self.data["spans"].items() if word in name.split(".")]
        return next((span for span in found if span["kind"] == kind), found[0] if found else None)


def data_folder() -> Path | None:
    """Where the registry is on this machine; None if it is not there."""
    named = os.environ.get("SPANLEDGER_SEMCONV_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "semconv"
    return folder if folder.is_dir() else None


def load(generation: str = "default") -> Registry | None:
    """The registry of a generation (``default`` or ``latest``), None if it is not on this machine."""
    folder = data_folder()
    return None if folder is None else Registry(json.loads((folder / FILES[generation]).read_text()), folder)


@dataclass(frozen=True)
class _Span:
    name: str
    kind: str
    status: str
    attributes: dict[str, Any] = field(default_factory=dict)


def _span(span: Any) -> _Span:
    """A finished span of the SDK, or a row of ``SpanStore``."""
    if hasattr(span, "start_ns"):
        return _Span(span.name, span.kind, span.status, span.attributes)
    return _Span(span.name, span.kind.name.lower(), span.status.status_code.name.lower(), dict(span.attributes or {}))


# --- spans


def check(spans: Iterable[Any], registry: Registry) -> list[Finding]:
    """Everything about these spans that is not as the registry says. Spans without a governed attribute are nobody's business."""
    return [Finding(span.name, what) for span in map(_span, spans) for what in _check_span(span, registry)]


def _check_span(span: _Span, registry: Registry) -> Iterator[str]:
    attributes = span.attributes
    if not any(name.startswith(GOVERNED) for name in attributes):
        return
    yield from _values(attributes, registry)
    yield from _errors(span)
    kind = registry.span_type(attributes.get("gen_ai.operation.name"), span.kind)
    if kind is None:
        yield f"no span type has the operation {attributes.get('gen_ai.operation.name')!r}"
        return
    if span.kind != kind["kind"]:
        yield f"its kind is {span.kind}, not {kind['kind']}"
    expected = _name(kind["name"], attributes)
    if span.name != expected:
        yield f"it should be called {expected!r}"
    yield from _presence(attributes, kind["attributes"])


def _name(text: str, attributes: Mapping[str, Any]) -> str:
    """The first form that the registry gives in backticks, filled in; what is missing is left out."""
    form = re.search(r"`([^`]+)`", text)
    assert form is not None
    return re.sub(r"\{([^}]+)\}", lambda place: str(attributes.get(place[1], "")), form[1]).strip()


def _errors(span: _Span) -> Iterator[str]:
    failed, kind = span.status == "error", span.attributes.get("error.type")
    if failed != (kind is not None):
        yield f"its status is {span.status} and error.type is {kind!r}"
    if kind is not None and not (isinstance(kind, str) and re.fullmatch(r"[\w.]+", kind)):
        yield f"error.type {kind!r} is no name of low cardinality"


def _presence(attributes: Mapping[str, Any], declared: Mapping[str, Any]) -> Iterator[str]:
    """Required attributes are there, and none that the registry does not list for this span, metric or event."""
    for name, use in declared.items():
        if use["level"] == "required" and name not in attributes:
            yield f"{name} is missing"
    if "server.address" in attributes and "server.port" in declared and "server.port" not in attributes:
        yield "server.port is missing beside server.address"
    for name in attributes:
        if name.startswith("openai."):
            if attributes.get("gen_ai.provider.name") not in _OPENAI:
                yield f"{name} is for OpenAI only"
        elif name.startswith(GOVERNED) and name not in declared and name not in PROPOSED:
            yield f"{name} does not belong here"


def _values(attributes: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    for name, value in attributes.items():
        if not name.startswith(GOVERNED):
            continue
        known = registry.attribute(name)
        if known is None:
            yield f"{name} is not in the registry"
        elif not _TYPES[known["type"]](value):
            yield f"{name} is {value!r}, not of type {known['type']}"
        elif known["enum"] and value not in known["enum"]:
            yield f"{name} is {value!r}, not one of {', '.join(known['enum'])}"
        elif name in SCHEMAS and registry.folder is not None:
            yield from _content(name, value, registry.folder)
    port = attributes.get("server.port")
    if port is not None and type(port) is not int:
        yield f"server.port is {port!r}"


def _content(name: str, value: Any, folder: Path) -> Iterator[str]:
    """Captured content against its JSON schema; on spans it is text, in events it is structured."""
    try:
        content = json.loads(value) if isinstance(value, str) else _lists(value)
    except ValueError:
        yield f"{name} is no JSON"
        return
    for error in _validator(folder / SCHEMAS[name]).iter_errors(content):
        path = "".join(f"[{step!r}]" for step in error.absolute_path)
        yield f"{name}{path}: {error.message:.200}"


def _lists(value: Any) -> Any:
    """The SDK keeps sequences as tuples, which are no arrays to a JSON schema."""
    return json.loads(json.dumps(value, default=dict))


@cache
def _validator(path: Path) -> Any:
    import jsonschema  # type: ignore[import-untyped]

    text = re.sub(r'"\$ref": "http://json-schema\.org/draft-07/schema#"', '"type": "object"', path.read_text())
    return jsonschema.Draft202012Validator(json.loads(text))


# --- metrics and events


def check_metrics(metrics: Iterable[Any], registry: Registry) -> list[Finding]:
    """Metrics of the SDK (``Metric``): names, instruments, units and attributes. Names outside the conventions are nobody's business."""
    governed = [metric for metric in metrics if metric.name.startswith(GOVERNED)]
    return [Finding(metric.name, what) for metric in governed for what in sorted(set(_check_metric(metric, registry)))]


def _check_metric(metric: Any, registry: Registry) -> Iterator[str]:
    known = registry.data["metrics"].get(metric.name)
    if known is None:
        yield "it is not in the registry"
        return
    instrument = _instrument(metric.data)
    if instrument != known["instrument"]:
        yield f"it is a {instrument}, not a {known['instrument']}"
    if metric.unit != known["unit"]:
        yield f"its unit is {metric.unit!r}, not {known['unit']!r}"
    for point in metric.data.data_points:
        attributes = dict(point.attributes or {})
        yield from _values(attributes, registry)
        yield from _presence(attributes, known["attributes"])
        yield from _operation_of(metric.name, attributes)
        yield from (
            f"{name} does not belong here" for name in attributes if not name.startswith(GOVERNED) and name not in known["attributes"]
        )
        if known["buckets"] and [*point.explicit_bounds] != [
            float(bound) for bound in BUCKETS.get(known["buckets"], known["buckets"]).split(",")
        ]:
            yield f"its buckets are {point.explicit_bounds}"


def _operation_of(name: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    """``gen_ai.client.inference.*`` is about inference, ``gen_ai.client.embeddings.*`` about embeddings."""
    operation, parts = attributes.get("gen_ai.operation.name"), name.split(".")
    for word in ("inference", "embeddings"):
        if parts[2] == word and OPERATIONS.get(str(operation)) != word:
            yield f"it is not for the operation {operation!r}"


def _instrument(data: Any) -> str:
    if hasattr(data, "is_monotonic"):
        return "counter" if data.is_monotonic else "updowncounter"
    return "histogram" if type(data).__name__ in ("Histogram", "ExponentialHistogram") else "gauge"


def check_events(records: Iterable[Any], registry: Registry) -> list[Finding]:
    """Log records of the SDK that are events of the conventions."""
    found = []
    for record in records:
        if record.event_name and record.event_name.startswith(GOVERNED):
            found += [Finding(record.event_name, what) for what in _check_event(record, registry)]
    return found


def _check_event(record: Any, registry: Registry) -> Iterator[str]:
    known, attributes = registry.data["events"].get(record.event_name), dict(record.attributes or {})
    if known is None:
        yield "it is not in the registry"
        return
    yield from _values(attributes, registry)
    yield from _presence(attributes, known["attributes"])
    yield from _operation_of(record.event_name, attributes)
    for name in SCHEMAS.keys() & attributes.keys():
        if isinstance(attributes[name], str):
            yield f"{name} is text; in an event it is structured"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file with spans")
    parser.add_argument("--latest", action="store_true", help="check against the newer generation of names")
    parser.add_argument("--all", action="store_true", help="spans of other instrumentations, too")
    options = parser.parse_args()
    registry = load("latest" if options.latest else "default")
    if registry is None:
        print("no registry: set SPANLEDGER_SEMCONV_DATA to the folder with the flattened conventions", file=sys.stderr)
        return 2
    from spanledger.ledger.spans import SpanStore

    spans = [span for span in SpanStore(options.ledger).trace("") if options.all or span.scope == "spanledger"]
    findings = check(spans, registry)
    print(*findings, f"{len(spans)} spans, {len(findings)} findings", sep="\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
