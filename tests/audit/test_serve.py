"""The server over real HTTP and a real SQLite file: who may send, what is refused, what is written."""

from __future__ import annotations

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from spanledger.audit import serve as http_server
from spanledger.audit.serve import MOST_BYTES, AuditServer
from spanledger.errors import ConfigurationError, LedgerError
from spanledger.ledger.chain import first_broken
from spanledger.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import AuditRecord

TOKEN = "b2c1e6a0d8f34f0f9a3c"


def keys(ledger: Ledger) -> list[str]:
    return [record.key for record in ledger.audit()]


class Failing:
    """A ledger that cannot be reached a number of times."""

    def __init__(self, ledger: Ledger, failures: int) -> None:
        self._ledger, self.failures = ledger, failures

    def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
        self._fail()
        return self._ledger.append_audit(time, key, text)

    def open_leases(self) -> int:
        self._fail()
        return self._ledger.open_leases()

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            msg = "the ledger /srv/books.db cannot be used: the disk is full"
            raise LedgerError(msg)


def raw(url: str, *pieces: bytes) -> bytes:
    """The whole answer to hand-made bytes; the connection stays open on our side."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- what is written


def test_firing_and_resolved_are_written_once_each(ledger, serving, post, alert, payload) -> None:
    url = serving(ledger)
    firing, resolved = payload(alert()), payload(alert(status="resolved"))
    replies = [post(url, body) for body in (firing, firing, resolved, firing, resolved)]
    assert [(reply.status, reply.body["written"], reply.body["known"]) for reply in replies] == [
        (200, 1, 0), (200, 0, 1), (200, 1, 0), (200, 0, 1), (200, 0, 1)
    ]  # fmt: skip
    assert [key.rsplit("/", 1)[1] for key in keys(ledger)] == ["firing", "resolved"]


def test_a_restarted_server_and_a_second_one_write_nothing_twice(tmp_path: Path, serving, post, alert, payload) -> None:
    alerts = [alert(fingerprint=f"{number:016x}") for number in range(20)]
    ledgers = [SqliteLedger(tmp_path / "ledger.db") for _ in range(2)]
    urls = [serving(ledger) for ledger in ledgers]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: post(urls[number % 2], payload(*alerts[number % 7 :], *alerts[: number % 7])), range(16)))
    later = post(serving(ledgers[0]), payload(*alerts))
    assert {reply.status for reply in replies} == {200}
    assert sum(reply.body["written"] for reply in replies) == 20
    assert (later.body["written"], later.body["known"]) == (0, 20)
    records = list(ledgers[1].audit())
    assert len(records) == 20
    assert first_broken(records) is None
    for ledger in ledgers:
        ledger.close()


def test_good_alerts_are_written_and_bad_ones_named(ledger, serving, post, alert, payload, caplog: pytest.LogCaptureFixture) -> None:
    bad = {**alert(), "fingerprint": "jane@example.com"}
    reply = post(serving(ledger), payload(alert(), bad, "nonsense", alert(severity="info")))
    assert reply == (200, {"written": 1, "known": 0, "ignored": 1, "rejected": [
        "alerts[1].fingerprint: is no fingerprint; expected 16 hexadecimal digits",
        "alerts[2]: is no alert; expected an object with labels",
    ]})  # fmt: skip
    assert len(keys(ledger)) == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["2 of 4 alerts cannot be read, the first: alerts[1].fingerprint: is no fingerprint; expected 16 hexadecimal digits"]


def test_a_payload_of_which_nothing_is_understood_is_a_400(ledger, serving, post, payload) -> None:
    reply = post(serving(ledger), payload({"labels": {"severity": "critical"}}, {}))
    assert (reply.status, len(reply.body["rejected"])) == (400, 2)
    assert keys(ledger) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"alerts": {}}', b"[" * 200_000, b'{"alerts": ' + b"[" * 100_000, b"9" * 10_000],
)
def test_nonsense_is_a_400_with_a_sentence_and_one_line_of_log(
    ledger, serving, post, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reply = post(serving(ledger), body)
    assert reply.status == 400
    assert reply.body["error"].endswith("expected the webhook payload of Alertmanager: a JSON object with a list named alerts")
    assert len(caplog.records) == 1
    assert keys(ledger) == []


def test_an_empty_list_of_alerts_is_fine(ledger, serving, post, payload) -> None:
    assert post(serving(ledger), payload()) == (200, {"written": 0, "known": 0, "ignored": 0, "rejected": []})


def test_alerts_that_alertmanager_left_out_are_told(ledger, serving, post, payload, alert, caplog: pytest.LogCaptureFixture) -> None:
    assert post(serving(ledger), {**payload(alert()), "truncatedAlerts": 3}).status == 200
    assert "max_alerts" in caplog.text


# --- the ledger is away


def test_a_ledger_that_cannot_be_reached_is_a_503_and_the_repetition_writes_the_rest(ledger, serving, post, payload, alert, caplog) -> None:
    failing = Failing(ledger, 1)
    url = serving(failing)
    body = payload(alert(), alert(fingerprint="0" * 16))
    first, second = post(url, body), post(url, body)
    assert (first.status, second.status) == (503, 200)
    assert "/srv/books.db" not in str(first.body)
    assert "/srv/books.db cannot be used: the disk is full" in caplog.text
    assert len(keys(ledger)) == 2


def test_a_damaged_file_is_a_503(tmp_path: Path, serving, post, payload, alert) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    broken = SqliteLedger(tmp_path / "broken.db")
    assert post(serving(broken), payload(alert())).status == 503
    broken.close()


def test_health(ledger, serving, post) -> None:
    url = serving(Failing(ledger, 1)).replace("/alerts", "/health")
    assert [post(url, b"", "GET").status for _ in range(2)] == [503, 200]


# --- who may send


def test_a_token_is_demanded_where_one_is_set(ledger, serving, post, payload, alert) -> None:
    url = serving(ledger, token=TOKEN)
    wrong = (None, TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", "Bearer \xe9")
    assert {post(url, payload(alert()), Authorization=header).status for header in wrong} == {401}
    assert keys(ledger) == []
    assert post(url, payload(alert()), Authorization=f"Bearer {TOKEN}").status == 200
    assert len(keys(ledger)) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "audit.example.org"])
def test_without_a_token_only_the_loopback_address_is_served(host: str) -> None:
    with pytest.raises(ConfigurationError, match="SPANLEDGER_AUDIT_TOKEN: is not set, but other machines can reach --host"):
        AuditServer(host, 0, None, None)  # type: ignore[arg-type]


def test_another_machine_needs_the_token(ledger, serving, post, payload, alert) -> None:
    address = own_address()
    url = serving(ledger, token=TOKEN, host="0.0.0.0").replace("0.0.0.0", address)
    assert post(url, payload(alert())).status == 401
    assert keys(ledger) == []
    assert post(url, payload(alert()), Authorization=f"Bearer {TOKEN}").status == 200


def test_another_machine_is_refused_even_if_the_server_was_made_to_listen_there(ledger, serving, post, payload, alert, monkeypatch) -> None:
    address = own_address()
    with monkeypatch.context() as patch:
        patch.setattr(http_server, "_is_loopback", lambda _: True)
        url = serving(ledger, host="0.0.0.0").replace("0.0.0.0", address)
    assert post(url, payload(alert()), Host="127.0.0.1").status == 401
    assert keys(ledger) == []


def own_address() -> str:
    """An address of this machine that is not the loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loopback one")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    "host",
    ["evil.example.org", "evil.example.org:9099", "127.0.0.1.evil.example.org", "192.168.0.7", "", "[", "127.0.0.1@evil.example.org"],
)
def test_a_name_that_was_made_to_point_here_is_refused(ledger, serving, post, payload, alert, host: str) -> None:
    assert post(serving(ledger), payload(alert()), Host=host).status == 403
    assert keys(ledger) == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9099", "127.0.0.1:9099", "[::1]:9099", "127.1.2.3"])
def test_the_names_of_this_machine_are_served(ledger, serving, post, payload, alert, host: str) -> None:
    assert post(serving(ledger), payload(alert()), Host=host).status == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_form_of_a_web_page_can_send_is_refused(ledger, serving, post, payload, alert, kind: str | None) -> None:
    assert post(serving(ledger), payload(alert()), Content_Type=kind).status == 415
    assert keys(ledger) == []


def test_a_browser_that_asks_first_is_not_allowed(ledger, serving) -> None:
    answer = raw(serving(ledger), b"OPTIONS /alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example.org\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 501")
    assert b"access-control" not in answer.lower()


def test_an_address_of_version_6(ledger, serving, post, payload, alert) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        url = serving(ledger, host="::1")
    except ConfigurationError:
        pytest.skip("no IPv6 here")
    assert url.startswith("http://[::1]:")
    assert post(url, payload(alert())).status == 200


def test_a_port_that_is_taken_is_said(ledger, serving) -> None:
    port = urlsplit(serving(ledger)).port
    with pytest.raises(ConfigurationError, match=rf"--host 127.0.0.1 --port {port}: cannot listen there"):
        AuditServer("127.0.0.1", port, None, None)  # type: ignore[arg-type]


# --- how much, how slowly


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/"), ("POST", "/health"), ("GET", "/alerts"), ("POST", "/alerts/x")])
def test_other_paths(ledger, serving, post, method: str, path: str) -> None:
    assert post(serving(ledger).replace("/alerts", path), {}, method).status == 404


def test_a_body_that_is_too_long_is_a_413(ledger, serving, post, payload, alert) -> None:
    url = serving(ledger)
    fits = payload(alert(summary="x" * (MOST_BYTES - 2000)))
    assert [post(url, fits).status, post(url, b" " * (MOST_BYTES + 1)).status] == [200, 413]
    assert post(url, b" " * (8 * MOST_BYTES)).status == 413  # the answer arrives although most of the body was on its way
    assert len(keys(ledger)) == 1


HEAD = b"POST /alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: -5\r\n\r\n", b"400"),
        (b"Content-Length: \xc2\xb2\r\n\r\n", b"400"),
        (b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
        (b"Content-Length: 5\r\n\r\n{}", b"408"),  # the rest never comes
    ],
)
def test_a_length_that_cannot_be_right(ledger, serving, headers: bytes, status: bytes) -> None:
    assert raw(serving(ledger, deadline=0.3), HEAD + headers).split()[1] == status


@pytest.mark.parametrize("start", [b"", b"POST /al", HEAD])
def test_a_request_that_never_ends_is_ended(ledger, serving, start: bytes) -> None:
    assert b"200" not in raw(serving(ledger, deadline=0.3), start)


def test_a_request_that_drips_is_ended(ledger, serving) -> None:
    parts = urlsplit(serving(ledger, deadline=0.5))
    ended = threading.Event()
    with socket.create_connection(("127.0.0.1", parts.port or 0), timeout=60) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")

        def drip() -> None:
            while not ended.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            answer = connection.recv(65536)
        finally:
            ended.set()
            thread.join()
    assert answer.split()[1] == b"408"


def test_more_connections_than_there_are_threads_are_turned_away(ledger, serving, post, payload, alert, until) -> None:
    url = serving(ledger)
    parts = urlsplit(url)
    silent = [socket.create_connection(("127.0.0.1", parts.port or 0)) for _ in range(32)]

    def served() -> bool:
        try:
            return bool(post(url, payload(alert())).status == 200)
        except (OSError, http.client.HTTPException):
            return False

    try:
        assert not served()
    finally:
        for connection in silent:
            connection.close()
    until(served, "the threads are free again")


def test_a_bug_of_ours_is_told_without_the_request(ledger, serving, payload, alert, post, caplog, until) -> None:
    class Buggy(Failing):
        def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
            message = f"cannot do {text}"
            raise RuntimeError(message)

    with pytest.raises((OSError, http.client.HTTPException)):
        post(serving(Buggy(ledger, 0)), payload(alert()))
    until(lambda: "a request failed: RuntimeError in" in caplog.text, "it is logged")
    assert "SpanledgerDiscrepancy" not in caplog.text
