"""Exporters that OpenTelemetry is told to use and will not find. It then loads no instrumentation at all, so that no budget holds."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from spanledger.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# https://github.com/open-telemetry/opentelemetry-python/blob/main/opentelemetry-sdk/src/opentelemetry/sdk/_configuration/__init__.py
_GROUPS = {f"OTEL_{signal}_EXPORTER": f"opentelemetry_{signal.lower()}_exporter" for signal in ("TRACES", "METRICS", "LOGS")}
_ALWAYS_THERE = frozenset({"", "none", "otlp"})
"""Names that are no entry points. What ``otlp`` stands for is installed with us."""


def missing(environ: Mapping[str, str]) -> Iterator[ConfigurationError]:
    """What is wrong with ``OTEL_TRACES_EXPORTER`` and its like."""
    for variable, group in _GROUPS.items():
        for name in {text.strip() for text in environ.get(variable, "").split(",")} - _ALWAYS_THERE:
            if not entry_points(group=group, name=name):
                yield ConfigurationError(variable, f"no exporter {name!r} is installed", _expected(group))


def _expected(group: str) -> str:
    known = sorted({"none", "otlp", *entry_points(group=group).names})
    return f"{', '.join(known)}, or the package that brings it; until then OpenTelemetry loads no instrumentation, and no budget holds"
