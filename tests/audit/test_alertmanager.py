"""A real Alertmanager that sends to the real server: fires, repeats, finds the ledger away, resolves."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spanledger.errors import LedgerError
from spanledger.stack import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import AuditRecord

pytestmark = [pytest.mark.stack, pytest.mark.slow]
TOKEN = "c0ffee5e-long-enough"


def configuration(url: str) -> str:
    """The shipped one, with this URL, a token, and no waiting."""
    shipped = yaml.safe_load((files.directory() / "alertmanager.yaml").read_text())
    for route in (shipped["route"], *shipped["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
    (webhook,) = shipped["receivers"][0]["webhook_configs"]
    webhook |= {"url": url, "http_config": {"authorization": {"credentials": TOKEN}}}
    return str(yaml.safe_dump(shipped))


class Alertmanager:
    """A running one; ``fire`` and ``count`` speak its API."""

    def __init__(self, program: Path, config: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.path={config.parent / 'data'}", f"--web.listen-address={self.address}",
             "--cluster.listen-address="],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ready(self) -> bool:
        try:
            return bool(self._open("/-/ready").status == 200)
        except OSError:
            return False

    def fire(self, labels: dict[str, str], ends: str | None = None) -> None:
        alert = {"labels": labels, "annotations": {"summary": "llm differs"}, "startsAt": "2026-02-06T13:08:45.828Z"}
        self._open("/api/v2/alerts", json.dumps([alert | ({"endsAt": ends} if ends else {})]).encode())

    def count(self, metric: str) -> float:
        """Notifications to webhooks: total, or failed."""
        lines = self._open("/metrics").read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric) and 'integration="webhook"' in line)

    def _open(self, path: str, body: bytes | None = None) -> Any:
        return urllib.request.urlopen(urllib.request.Request(f"http://{self.address}{path}", body, {"Content-Type": "application/json"}))


@pytest.fixture
def alertmanager(binaries: dict[str, Path], tmp_path: Path, until: Callable[..., None]) -> Iterator[Callable[[str], Alertmanager]]:
    """Starts one that sends to a URL."""
    started: list[Alertmanager] = []

    def start(url: str) -> Alertmanager:
        folder = tmp_path / f"alertmanager{len(started)}"
        folder.mkdir()
        config = folder / "alertmanager.yaml"
        config.write_text(configuration(url))
        started.append(Alertmanager(binaries["alertmanager"], config))
        until(started[-1].ready, "Alertmanager is ready")
        return started[-1]

    yield start
    for one in started:
        one.process.terminate()
        one.process.wait()


class Away:
    """A ledger that cannot be reached until it is said to be back."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.back, self.asked = ledger, False, 0

    def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
        self.asked += 1
        if not self.back:
            message = "away"
            raise LedgerError(message)
        return self._ledger.append_audit(time, key, text)


CRITICAL = {"alertname": "SpanledgerDiscrepancy", "severity": "critical", "activity_type": "llm", "source": "span", "customer": "acme"}


def test_alerts_arrive_once_each(ledger, serving, alertmanager, until) -> None:
    url = serving(ledger, token=TOKEN)
    first, second = alertmanager(url), alertmanager(url)  # two that do not know of each other
    for sender in (first, second):
        sender.fire(CRITICAL)
        sender.fire({"alertname": "Slow", "severity": "warning"})
        sender.fire({"alertname": "Lost", "severity": "warning", "audit": "true"})
    sent = "alertmanager_notifications_total"
    until(lambda: first.count(sent) >= 6 and second.count(sent) >= 6, "each alert was sent several times")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for sender in (first, second):
        sender.fire(CRITICAL, ends=now)
    until(lambda: any(record.key.endswith("resolved") for record in ledger.audit()), "the resolved alert is there")
    written = [json.loads(record.text) for record in ledger.audit()]
    assert sorted((one["name"], one["status"]) for one in written) == [
        ("Lost", "firing"), ("SpanledgerDiscrepancy", "firing"), ("SpanledgerDiscrepancy", "resolved")
    ]  # fmt: skip
    resolved = next(one for one in written if one["status"] == "resolved")
    assert (resolved["started"], resolved["ended"]) == ("2026-02-06T13:08:45.828000Z", now.replace("Z", ".000000Z"))
    assert resolved["labels"] == {"activity_type": "llm", "severity": "critical", "source": "span"}
    assert [sender.count("alertmanager_notifications_failed_total") for sender in (first, second)] == [0, 0]


def test_alerts_wait_until_the_ledger_is_back(ledger, serving, alertmanager, until) -> None:
    away = Away(ledger)
    sender = alertmanager(serving(away, token=TOKEN))
    sender.fire(CRITICAL)
    until(lambda: away.asked >= 3, "Alertmanager tries again")
    assert list(ledger.audit()) == []
    away.back = True
    until(lambda: len(list(ledger.audit())) == 1, "the alert is there")
