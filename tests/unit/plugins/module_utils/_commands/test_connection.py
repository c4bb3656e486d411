# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands import connection as _connection
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.connection import Connection
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.tests.waiting import FOR_EVER, wait_until

DROPPED = "kex_exchange_identification: Connection closed by remote host"
WAITS = [2, 4, 8, 16, 20]


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The longest that each wait may last; nothing is waited for, and nobody may be kept waiting meanwhile."""
    recorded = []

    def sleep(seconds):
        assert not _connection._GATE.locked()
        recorded.append(seconds)

    monkeypatch.setattr(_connection, "time", SimpleNamespace(sleep=sleep, monotonic=_connection.time.monotonic))
    monkeypatch.setattr(_connection, "random", SimpleNamespace(uniform=lambda low, high: high))
    return recorded


@pytest.fixture
def connect(host, tmp_path, monkeypatch):
    """Makes connections, and closes them at the end."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(name="ssh-0", options=()):
        made.append(Connection(BarmanHost("barman@backup-host", options), name))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def fails(host, says, times=99):
    """The next so many connections fail."""
    host.hook(f'''
echo x >>"{host.root}/tries"
[ $(wc -l <"{host.root}/tries") -gt {times} ] || {{ echo "{says}" >&2; exit 255; }}''')


def refused(connection):
    with pytest.raises(StandbyError) as error:
        connection.open()
    return error.value


def test_is_opened_once(host, connect):
    connection = connect()
    for _time in range(3):
        connection.open()
    assert [call[-3:] for call in host.calls()] == [["--", "barman@backup-host", "cat"]]


def test_is_shared_by_programs_that_would_otherwise_connect_themselves(host, connect):
    """ssh takes the first value of an option: the user's own sharing must not come before ours."""
    options = ("-o", "ControlPath=/mine", "-o", "ControlMaster=auto", "-p", "2222")
    connection = connect("ssh-7", options)
    connection.open()
    [call] = host.calls()
    at = call.index("ControlMaster=yes")
    own = ["-o", "ControlMaster=yes", "-o", "ControlPath=ssh-7", "-o", "ControlPersist=no"]
    assert call[at - 1 : at + 5 + len(options)] == [*own, *options]
    assert connection.barman_host == BarmanHost(
        "barman@backup-host", ("-o", "ControlMaster=no", "-o", "ControlPath=ssh-7", *options)
    )


def test_verifies_the_host_key(host, connect):
    connect().open()
    [call] = host.calls()
    assert call[:6] == ["-T", "-x", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]


def test_ends_when_it_is_closed_and_can_be_opened_again(host, connect):
    host.hook(f"trap 'echo ended >>{host.root}/ended' EXIT; $command; exit")
    connection = connect()
    connection.open()
    connection.close()
    assert (host.root / "ended").read_text(encoding="utf-8") == "ended\n"
    connection.close()
    connection.open()
    assert host.connects() == 2


def test_does_not_wait_for_a_far_end_that_does_not_end(host, connect):
    host.hook(f"cat; exec sleep {FOR_EVER}")
    connection = connect()
    connection.open()
    connection.close()
    connection.open()
    assert host.connects() == 2


def test_is_opened_again_when_it_has_broken(host, connect, waits):
    host.hook(f"mkdir {host.root}/once 2>/dev/null && {{ head -n 1; exit 255; }}")
    connection = connect()
    connection.open()
    wait_until(lambda: not connection._ssh.is_running())
    connection.open()
    assert (host.connects(), waits) == (2, [])


class TestRate:
    def test_is_what_an_echo_shows(self, connect, monkeypatch):
        connection = connect()
        connection.open()
        half_seconds = itertools.count()
        monkeypatch.setattr(_connection.time, "monotonic", lambda: next(half_seconds) / 2)
        assert connection.rate() == 2 * _connection._ECHO
        assert connection._ssh.is_running()

    def test_leaves_the_connection_as_it_was(self, host, connect):
        connection = connect()
        connection.open()
        connection.rate()
        connection.open()
        assert host.connects() == 1

    def test_of_a_connection_that_breaks_is_nothing(self, host, connect):
        host.hook("head -c 10; exit 255")
        connection = connect()
        connection.open()
        assert connection.rate() == 0

    def test_of_one_that_is_not_open_is_nothing(self, connect):
        assert connect().rate() == 0


class TestFailure:
    @pytest.mark.parametrize("before", [False, True], ids=["never connected", "had been connected"])
    @pytest.mark.parametrize(
        ("says", "code", "first", "later"),
        [
            # sshd turns away a share of those that have not logged in yet.
            pytest.param(DROPPED, "ssh_dropped", WAITS, WAITS, id="dropped"),
            pytest.param("Connection reset by 10.0.0.1 port 22", "ssh_dropped", WAITS, WAITS, id="reset"),
            # A host that was there a moment ago is being started anew; another one's address is wrong.
            pytest.param("ssh: connect to host b port 22: Connection refused", "ssh_refused", [], WAITS, id="refused"),
            pytest.param("ssh: connect to host b port 22: No route to host", "ssh_timeout", [], WAITS, id="no route"),
            pytest.param(
                "ssh: connect to host b port 22: Connection timed out", "ssh_timeout", [], WAITS, id="timed out"
            ),
            pytest.param("something else", "ssh_failed", [], WAITS, id="unknown"),
            # These do not get better.
            pytest.param("Host key verification failed.", "ssh_host_key", [], [], id="host key"),
            pytest.param("Permission denied (publickey).", "ssh_auth", [], [], id="key"),
            pytest.param(
                "ssh: Could not resolve hostname b: Name or service not known", "ssh_unknown_host", [], [], id="name"
            ),
        ],
    )
    def test_is_waited_out_where_that_can_help(self, host, connect, waits, before, says, code, first, later):
        connection = connect()
        if before:
            connection.open()
            connection.close()
        fails(host, says)
        error = refused(connection)
        assert (error.code, error.result["stderr"]) == (code, f"{says}\n")
        assert waits == (later if before else first)

    def test_of_others_that_connect_at_once_is_over_soon(self, host, connect, waits):
        fails(host, DROPPED, times=2)
        connect().open()
        assert (host.connects(), waits) == (3, WAITS[:2])

    @pytest.mark.parametrize("greeting", ["echo Welcome", "printf Welcome", "seq 9"])
    def test_of_a_login_that_prints_is_told_with_what_it_prints(self, host, connect, waits, greeting):
        host.hook(greeting)
        error = refused(connect())
        assert error.code == "ssh_stdout_polluted"
        assert "prints on login ('" in error.msg
        assert ("Welcome" if "Welcome" in greeting else "1\\n2") in error.msg
        assert waits == []

    def test_of_a_far_end_that_says_nothing_is_told_in_time(self, host, connect, monkeypatch):
        monkeypatch.setattr(_connection, "_HANDSHAKE_SECONDS", 0)
        host.hook(f"exec sleep {FOR_EVER}")
        error = refused(connect())
        assert error.code == "ssh_failed"
        assert "ssh said nothing" in error.msg


def test_two_are_never_opened_at_once(host, connect):
    host.hook(f"mkdir {host.root}/opening || exit 255; sleep 0.02; rmdir {host.root}/opening")
    failures = []

    def open_one(connection):
        try:
            connection.open()
        except StandbyError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=open_one, args=(connect(f"ssh-{number}"),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, host.connects()) == ([], 5)
