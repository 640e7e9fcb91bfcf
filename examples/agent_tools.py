"""A function that an application uses as it is; ``SPANLEDGER_PLUGINS`` makes it a plugin in the books. It pretends; nothing is sent."""

from __future__ import annotations


def send_email(to: str, text: str) -> str:
    """Sends a mail."""
    return f"{len(text)} characters sent to {to}"
