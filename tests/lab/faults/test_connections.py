"""What breaks between the hosts under a copy. I1 and I2 hold in each case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from clone_on_host import Clone
from faulty_copy import Process, await_bytes, begin, copying, expect_rest, ranked, send, serving
from held import MIB, Held
from podman import Host, wait_for
from standby_host import DATA

WATCHFUL = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=3"]


def ours(clone: Clone, words: str) -> tuple[Host, list[Process]]:
    return clone.host, [p for p in copying(clone) if p.command.startswith("ssh ") and words in p.command]


def theirs(clone: Clone, words: str) -> tuple[Host, list[Process]]:
    return clone.lab.barman, [p for p in serving(clone) if p.command.startswith(words)]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        pytest.param(ours, "ControlMaster=yes", id="the workers' connections"),
        pytest.param(ours, "ControlMaster=no", id="the ssh of each rsync"),
        pytest.param(theirs, "sshd: ", id="the sessions on the Barman host"),
        pytest.param(theirs, "rsync --server", id="the rsyncs on the Barman host"),
    ],
)
def test_a_copy_goes_on_when_these_are_killed(
    clone: Clone, hold: Held, where: Callable[[Clone, str], tuple[Host, list[Process]]], words: str
) -> None:
    largest = f"{DATA}/{ranked(clone)[0]}"
    copy = begin(clone, hold)
    there = await_bytes(clone, largest, 20 * MIB)
    host, processes = where(clone, words)
    assert processes
    send(host, "KILL", processes)
    hold.go_on()
    expect_rest(result := clone.finish(copy), there, "clone")
    assert result["retries"] > 0
    clone.assert_healthy()


@contextmanager
def link_cut(clone: Clone) -> Iterator[None]:
    """Packets to and from the Barman host are lost, and nobody is told."""
    rules = [["INPUT", "-s", clone.lab.barman.address], ["OUTPUT", "-d", clone.lab.barman.address]]
    try:
        for rule in rules:
            clone.host.run(["iptables", "--wait", "--insert", *rule, "-j", "DROP"])
        yield
    finally:
        for rule in rules:
            clone.host.run(["iptables", "--wait", "--delete", *rule, "-j", "DROP"], check=False)


@contextmanager
def far_end_frozen(clone: Clone) -> Iterator[None]:
    """The kernel at the far end still answers, but no process does."""
    processes = serving(clone)
    send(clone.lab.barman, "STOP", processes)
    try:
        yield
    finally:
        send(clone.lab.barman, "CONT", processes)


@contextmanager
def senders_stuck(clone: Clone) -> Iterator[None]:
    """As on a disk that hangs: the connections are well, only nothing comes."""
    processes = [process for process in serving(clone) if "rsync --server" in process.command]
    assert processes
    send(clone.lab.barman, "STOP", processes)
    try:
        yield
    finally:
        send(clone.lab.barman, "KILL", processes)


@pytest.mark.parametrize("silence", [link_cut, pytest.param(far_end_frozen, marks=pytest.mark.long), senders_stuck])
def test_a_copy_goes_on_after_a_silence(
    clone: Clone, hold: Held, silence: Callable[[Clone], AbstractContextManager[None]]
) -> None:
    """What the far end says late, to connections that were given up, does no harm."""
    largest = f"{DATA}/{ranked(clone)[0]}"
    copy = begin(clone, hold, ssh_options=WATCHFUL, io_timeout=5)
    there = await_bytes(clone, largest, 20 * MIB)
    with silence(clone):
        hold.go_on()
        wait_for(lambda: clone.progress()["retries"] > 0, "the silence to be noticed")
    expect_rest(clone.finish(copy), there, "clone")
    clone.assert_healthy()
