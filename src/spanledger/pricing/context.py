"""What a price depends on besides the model: service tier, speed, batch, place of inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STANDARD = {
    "service_tier": {"auto", "default", "standard", "standard_only", "on_demand", "unspecified"},
    "speed": {"standard", "default", "normal"},
    "processing": {"standard", "default"},
    "inference_geo": {"global", "not_available", "default", "none"},
    "data_residency": {"global"},
}
_PLACES = ("data_residency", "inference_geo")
_NO_BATCH = {"false", "0", "no"}


def asked(context: Mapping[str, str]) -> dict[str, str]:
    """Our context keys in genai-prices' words."""
    asked = {key: str(value).lower().removeprefix("service_tier_") for key, value in context.items()}
    batch = asked.pop("batch", None)
    if batch is not None:
        asked["processing"] = "standard" if batch in _NO_BATCH else "batch"
    if asked.get("service_tier") == "batch":
        asked["processing"] = "batch"
    if asked.get("processing") == "batch":
        asked.pop("service_tier", None)
    return asked


def special(asked: Mapping[str, str]) -> dict[str, str]:
    """What is left without the values that ask for nothing special, for which the plain price holds."""
    return {key: value for key, value in asked.items() if value not in _STANDARD.get(key, ())}


def place(context: Mapping[str, str] | None) -> dict[str, str] | None:
    """What of it holds for all models that work on one request: where that is; a service tier is of the model that was asked."""
    return {key: context[key] for key in _PLACES if key in context} or None if context else None
