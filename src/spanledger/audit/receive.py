"""What a payload of Alertmanager's webhook does to the ledger, and what is answered. No HTTP here.

Alertmanager takes an answer of 5xx as "try again" and any other failure as final for this notification; it then sends the group again at
the next ``group_interval``, for as long as the alert lasts (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config,
``Retrier.Check`` in https://github.com/prometheus/alertmanager/blob/main/notify/util.go). Hence:

- The ledger cannot be written: 503. What was written before the failure is known to the ledger, so that the repetition writes the rest.
- Some alerts are nonsense: 200, the others are written. A 400 would not repair them and would keep Alertmanager from ever being done with
  their group; the answer and one line of the log name them.
- Nothing of the payload is understood: 400, because then something else than Alertmanager's default payload is being sent, and its log and
  its metric of failed notifications are where people look.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.audit import records
from spanledger.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from spanledger.audit.emit import Emitter
    from spanledger.ledger.ledger import Ledger

log = logging.getLogger("spanledger")

_EXPECTED = "the webhook payload of Alertmanager: a JSON object with a list named alerts"


class Answer(NamedTuple):
    """A status and what the body says as JSON."""

    status: HTTPStatus
    body: dict[str, Any]


@dataclass
class _Done:
    """What became of the alerts of one payload."""

    written: int = 0
    known: int = 0
    ignored: int = 0
    rejected: list[str] = field(default_factory=list)

    @property
    def understood(self) -> bool:
        return not self.rejected or self.written + self.known + self.ignored > 0


class Receiver:
    """Writes alerts into one ledger; may be used by several threads at once."""

    def __init__(self, ledger: Ledger, emitter: Emitter) -> None:
        self._ledger, self._emitter = ledger, emitter

    def health(self) -> Answer:
        """Whether the ledger can be read."""
        try:
            self._ledger.open_leases()
        except LedgerError as error:
            return _unreachable(error)
        return Answer(HTTPStatus.OK, {"status": "ok"})

    def receive(self, payload: bytes) -> Answer:
        """Writes the critical alerts of a payload that are not written yet. Never raises on any payload."""
        alerts = _alerts(payload)
        if alerts is None:
            sentence = f"cannot read the request's body; expected {_EXPECTED}"
            log.warning("%s", sentence)
            return refused(HTTPStatus.BAD_REQUEST, sentence)
        done = _Done()
        try:
            for number, alert in enumerate(alerts):
                self._take(alert, f"alerts[{number}]", done)
        except LedgerError as error:
            return _unreachable(error)
        if done.rejected:
            log.warning("%d of %d alerts cannot be read, the first: %s", len(done.rejected), len(alerts), done.rejected[0])
        return Answer(HTTPStatus.OK if done.understood else HTTPStatus.BAD_REQUEST, vars(done))

    def _take(self, alert: Any, where: str, done: _Done) -> None:
        try:
            finding = records.from_alert(alert, where)
        except ConfigurationError as problem:
            done.rejected.append(str(problem))
            return
        if finding is None:
            done.ignored += 1
        elif record := records.write(self._ledger, finding):
            done.written += 1
            log.info("audit record %d: %s", record.sequence, record.key)
            self._emitter.emit(record)
        else:
            done.known += 1


def refused(status: HTTPStatus, sentence: str) -> Answer:
    """An answer that says what was wrong and what was expected."""
    return Answer(status, {"error": sentence})


def _alerts(payload: bytes) -> list[Any] | None:
    """The alerts of a payload; None if it is none. Says in the log what Alertmanager itself left out."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, numbers of thousands of digits; nested thousands deep
        return None
    alerts = message.get("alerts") if isinstance(message, dict) else None
    if not isinstance(alerts, list):
        return None
    if message.get("truncatedAlerts"):
        log.warning("Alertmanager left alerts out of a notification; set max_alerts of its webhook to 0, so that it sends all of them")
    return alerts


def _unreachable(error: LedgerError) -> Answer:
    log.error("%s", error)
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be reached; the log of spanledger audit serve says why")
