"""A copy that is held at a state until the test lets it go on, however quick or slow the machine is.

On the standby every ssh that brings files passes on what comes through a gate, which stops after so many bytes of each
stream; and the ssh that brings pg_control, the last file, may have to wait. Of the others only those of files are held:
their senders give way to others (nice), nothing else does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from podman import File, Host, wait_for
from standby_host import STATE

__all__ = ["MIB", "Held", "held"]

MIB = 1 << 20
PLACE = "/run/pgfleet-held"
# They come before those of the system in every PATH.
SSH, GATE = "/usr/local/bin/ssh", "/usr/local/bin/pgfleet-gate"
PROGRAMS = {
    # Under its own name, for those who look for it in a list of processes.
    SSH: f"""\
#!/bin/bash
if [ -e {PLACE}/control ] && [[ $* = *--server* ]] && grep --quiet '"committing"' {STATE}/progress.json; then
    touch {PLACE}/held-control
    while [ -e {PLACE}/control ]; do sleep 0.02; done
fi
# A question for the version of the far end's rsync, by the same command, is no stream of files.
case "$*" in *--version*) true ;; *nice*) [ ! -e {PLACE}/bytes ] ;; esac && exec -a ssh /usr/bin/ssh "$@"
(exec -a ssh /usr/bin/ssh "$@") | {GATE}
ended=("${{PIPESTATUS[@]}}")
# What a signal has ended looks so to whoever started it; 255 is ssh's own word.
[ "${{ended[0]}}" -le 128 ] || [ "${{ended[0]}}" -eq 255 ] || kill -$((ended[0] - 128)) $$
[ "${{ended[0]}}" -eq 0 ] || exit "${{ended[0]}}"
exit "${{ended[1]}}"
""",
    # It ends with whoever reads from it.
    GATE: f"""\
#!/usr/bin/python3
import os, select, sys

reader = select.poll()
reader.register(1, select.POLLERR)
passed = 0
while True:
    try:
        with open("{PLACE}/bytes") as file:
            limit = int(file.read())
    except FileNotFoundError:
        limit = passed + 65536
    if passed >= limit:
        open(f"{PLACE}/held-{{limit}}-{{os.getpid()}}", "w").close()
        if reader.poll(20):
            sys.exit(1)
        continue
    data = os.read(0, min(65536, limit - passed))
    if not data:
        break
    passed += len(data)
    while data:
        try:
            data = data[os.write(1, data):]
        except BlockingIOError:  # rsync may have made it so for both
            select.select([], [1], [])
""",
}


@dataclass(frozen=True)
class Held:
    """The copies of a host."""

    host: Host

    def after(self, count: int) -> None:
        """Hold each stream of files after so many bytes."""
        # In one step: a gate may be reading it.
        self.host.run(["sh", "-euc", f"echo {count} >{PLACE}/new; mv {PLACE}/new {PLACE}/bytes"])

    def wait(self, copying: subprocess.Popen[str] | None = None) -> None:
        """Until a stream has come as far as it may; if the process that began the copy ends before, that fails."""
        come = ["sh", "-c", f"ls {PLACE}/held-$(cat {PLACE}/bytes)-*"]

        def is_there() -> bool:
            ended = copying is not None and copying.poll() is not None
            there = self.host.run(come, check=False).returncode == 0
            if ended and not there and copying is not None:
                raise AssertionError(f"the copy ended before it came so far: {copying.communicate()}")
            return there

        wait_for(is_there, "a copy to come as far as it may")

    def before_control(self) -> None:
        """Hold the end of a copy: everything is there and durable but pg_control."""
        self.host.run(["touch", f"{PLACE}/control"])

    def has_come_to_control(self) -> bool:
        return self.host.exists(f"{PLACE}/held-control")

    def go_on(self) -> None:
        """Hold nothing any more."""
        self.host.run(["sh", "-c", f"rm -f {PLACE}/bytes {PLACE}/control {PLACE}/held-*"])


@contextmanager
def held(host: Host) -> Iterator[Held]:
    """Copies on the host can be held; at the end nothing is left of that."""
    host.put(File(path, text, mode=0o755) for path, text in PROGRAMS.items())
    # Everybody's copies say there that they are held.
    host.run(["install", "--directory", "--mode=1777", PLACE])
    try:
        yield Held(host)
    finally:
        # What still waits goes on when the place is gone.
        host.run(["rm", "-rf", PLACE, *PROGRAMS])
