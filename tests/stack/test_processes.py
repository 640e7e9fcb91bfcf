"""Knowing a process again, stopping it, and finding out who has a port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spanledger import private
from spanledger.errors import StackError
from spanledger.stack import ports, processes
from spanledger.stack.ports import Ports

if TYPE_CHECKING:
    from pathlib import Path

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def _start(program: str, tmp_path: Path) -> processes.Process:
    return processes.start([sys.executable, "-c", program], os.environ, tmp_path / "log")


def _wait_for_line(log: Path) -> None:
    while not processes.tail(log, 0):
        pass


def test_a_process_of_its_own_session_that_is_known_again(tmp_path: Path) -> None:
    process = _start("import signal; signal.pause()", tmp_path)
    try:
        assert os.getsid(process.pid) == process.pid
        processes.save(tmp_path / "pid.json", process)
        again = processes.saved(tmp_path / "pid.json")
        assert again == process
        assert processes.alive(again)
        assert not processes.alive(processes.Process(process.pid, "long ago"))
    finally:
        processes.stop(process, 10)
    assert not processes.alive(process)
    processes.send(process, signal.SIGTERM)  # nobody is there: nothing happens


def test_who_ignores_the_request_is_killed(tmp_path: Path) -> None:
    process = _start(STUBBORN, tmp_path)
    _wait_for_line(tmp_path / "log")
    processes.stop(process, 0.2)
    assert not processes.alive(process)


def test_a_child_nobody_has_waited_for_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = processes._birth(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert born
    assert not processes.alive(processes.Process(child.pid, born))
    child.wait()


def test_the_mark_where_there_is_no_proc() -> None:
    mark = processes._birth_without_proc(os.getpid())
    assert mark
    assert mark == processes._birth_without_proc(os.getpid())
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert processes._birth_without_proc(int(ended.stdout)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "born": ""}', '{"pid": null, "born": ""}'])
def test_a_pid_file_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid.json").write_text(text)
    assert processes.saved(tmp_path / "pid.json") is None


def test_the_last_lines_are_those_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n" * 5)
    offset = log.stat().st_size
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(20))
    assert processes.tail(log, offset, 3) == ("line 17", "line 18", "line 19")
    assert processes.tail(log, offset, 100)[0] == "line 0"
    assert processes.tail(tmp_path / "none", 0) == ()


def test_a_log_that_has_grown_large_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_KEEP_LOG", 3)
    (tmp_path / "log.log").write_text("before")
    process = processes.start([sys.executable, "-c", "print('now')"], os.environ, tmp_path / "log.log")
    assert processes.ended(process, 30)
    assert ((tmp_path / "log.log").read_text(), (tmp_path / "log.log.1").read_text()) == ("now\n", "before")
    assert (tmp_path / "log.log").stat().st_mode & 0o777 == 0o600


def test_folders_above_are_private_too_and_those_that_exist_stay(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    private.make_folder(tmp_path / "open" / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "open" / "a" / "b", tmp_path / "open" / "a", tmp_path / "open")] == [
        0o700,
        0o700,
        0o755,
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        private.make_folder(tmp_path / "file")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_taken_port_and_who_has_it(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server:
        chosen = Ports().with_some({"audit": server.getsockname()[1]})
        (taken,) = ports.taken(chosen, ["audit"])
    assert (taken.name, taken.port) == ("audit", chosen.audit)
    assert (taken.owner or "").startswith(f"process {os.getpid()} (")
    assert ports.taken(chosen, ["audit"]) == []
    assert ports.owner(chosen.audit) is None


def test_ports_are_chosen() -> None:
    free = Ports.free().as_dict().values()
    assert len(set(free)) == len(free) == 15
    assert list(Ports.from_base(20000).as_dict().values()) == list(range(20000, 20015))
    assert Ports.from_base(65521).audit == 65535
    assert Ports().with_some({"prometheus": 9091}).prometheus == 9091


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda: Ports.from_base(65522), "--port-base 65522: expected a port from 1024 to 65521"),
    (lambda: Ports.from_base(80), "--port-base 80: expected a port from 1024 to 65521"),
    (lambda: Ports().with_some({"grafana": 3000}), "--port grafana: there is no such port; expected one of agent_grpc, "),
    (lambda: Ports().with_some({"prometheus": 9093}), "port 9093 was chosen for both prometheus and alertmanager; choose another one"),
])  # fmt: skip
def test_ports_that_cannot_be(wrong: object, message: str) -> None:
    with pytest.raises(StackError, match=message):
        wrong()  # type: ignore[operator]
