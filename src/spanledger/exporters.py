"""Exporters that OpenTelemetry is told to use and will not find. It then loads no instrumentation at all, so that no budget holds."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from spanledger.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# https://github.com/open-telemetry/opentelemetry-python/blob/main/opentelemetry-sdk/src/opentelemetry/sdk/_configuration/__init__.py
_GROUPS = {f"OTEL_{signal}_EXPORTER": f"opentelemetry_{signal.lower()}_exporter" for signal in ("TRACES", "METRICS", "LOGS")}
_ALWAYS_THERE = "otlp"
"""A name that is no entry point. What it stands for is installed with us."""


def missing(environ: Mapping[str, str]) -> Iterator[ConfigurationError]:
    """What is wrong with ``OTEL_TRACES_EXPORTER`` and its like."""
    for variable, group in _GROUPS.items():
        for name in _names(environ.get(variable, "")):
            if name != _ALWAYS_THERE and not entry_points(group=group, name=name):
                problem = "none stands beside other exporters" if name == "none" else f"no exporter {name!r} is installed"
                yield ConfigurationError(variable, problem, _expected(group))


def _names(value: str) -> list[str]:
    """As OpenTelemetry reads them: ``none`` means no exporter only where it stands alone."""
    return [] if not value or value.strip().lower() == "none" else [name.strip() for name in value.split(",")]


def _expected(group: str) -> str:
    known = sorted({"none", "otlp", *entry_points(group=group).names})
    return f"{', '.join(known)}, or the package that brings it; until then OpenTelemetry loads no instrumentation, and no budget holds"
