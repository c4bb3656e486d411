# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that only has a process and a postmaster.pid, a pg_ctl that starts it, and a systemd with a few units."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import BarmanHost, write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL_TEXT

STANDBY = {"PG_VERSION": "15\n", "global/pg_control": CONTROL_TEXT, "standby.signal": ""}

# Works in its data directory under the name of a postmaster, ends at SIGINT and notes each SIGHUP. With a file
# `stubborn` it does not end.
POSTGRES = """\
#!{python}
import os, signal, sys
data = sys.argv[1]
os.setsid()
signals = [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
os.chdir(data)
with open("new.pid", "w") as file:
    file.write(f"{{os.getpid()}}\\n{{data}}\\n0\\n5432\\n/tmp\\n\\n\\nready   \\n")
os.rename("new.pid", "postmaster.pid")
while True:
    number = signal.sigwait(signals)
    if number == signal.SIGHUP:
        open("reloaded", "a").write("HUP\\n")
    elif not os.path.exists("stubborn"):
        os.unlink("postmaster.pid")
        break
"""

# What `words` holds is said in the log in place of a start.
PG_CTL = """\
#!/bin/sh
for word; do case $word in --pgdata=*) data=${{word#*=}};; --log=*) log=${{word#*=}};; esac; done
if [ -e "$data/words" ]; then
    cat "$data/words" >>"$log"
    echo "pg_ctl: could not start server" >&2
    exit 1
fi
"{postgres}" "$data" </dev/null >>"$log" 2>&1 &
while ! [ -e "$data/postmaster.pid" ]; do sleep 0.01; done
"""

# Each unit is a file of properties; `serves` is the data directory that it starts a server on.
SYSTEMCTL = """\
#!{python}
import json, os, signal, subprocess, sys
verb, name = sys.argv[1], sys.argv[-1].removesuffix(".service")
with open("{units}/calls", "a") as calls:
    calls.write(f"{{verb}} {{name}}\\n" if verb != "show" else "")
path = "{units}/" + name
unit = json.load(open(path)) if os.path.exists(path) else {{"LoadState": "not-found", "MainPID": 0}}
main, data = unit["MainPID"], unit.get("serves")
if verb == "show":
    if main and not os.path.exists(f"/proc/{{main}}"):
        unit.update(MainPID=0, ActiveState="inactive")
    print("\\n".join(f"{{key}}={{value}}" for key, value in unit.items()))
    sys.exit()
if verb in unit.get("refuses", ()):
    sys.exit(f"Failed to {{verb}} {{name}}.service: Access denied")
if verb in ("stop", "restart") and main:
    os.kill(main, signal.SIGINT)
    while os.path.exists(f"{{data}}/postmaster.pid"):
        pass
    unit.update(MainPID=0, ActiveState="inactive")
if verb in ("start", "restart"):
    if os.path.exists(f"{{data}}/words"):
        unit.update(ActiveState="failed")
    else:
        null = subprocess.DEVNULL
        subprocess.Popen(["{postgres}", data], stdin=null, stdout=null, stderr=null)
        while not os.path.exists(f"{{data}}/postmaster.pid"):
            pass
        unit.update(MainPID=int(open(f"{{data}}/postmaster.pid").readline()), ActiveState="active")
if verb in ("enable", "disable"):
    unit.update(UnitFileState=f"{{verb}}d")
json.dump(unit, open(path, "w"))
"""

JOURNALCTL = '#!/bin/sh\ncat "{pgdata}/words" 2>/dev/null\n'


class Servers:
    """Servers of directories on this machine. ``end`` ends them all."""

    def __init__(self, host: BarmanHost) -> None:
        self.host = host
        self.top = host.pgdata.parent
        self.units = host.root / "units"
        self.units.mkdir()
        (self.units / "calls").write_text("")
        self._made: list[Path] = []
        postgres = host.program("postgres", POSTGRES.format(python=sys.executable), host.root / "processes")
        self._postgres = postgres
        host.program("pg_ctl", PG_CTL.format(postgres=postgres))
        host.program("systemctl", SYSTEMCTL.format(python=sys.executable, units=self.units, postgres=postgres))
        host.program("journalctl", JOURNALCTL.format(pgdata=host.pgdata))

    def cluster(self, name: str = "pgdata") -> Path:
        """A data directory of a stopped standby."""
        path = self.top / name
        write_tree(path, STANDBY)
        (self.top / f".{name}.standby").mkdir(exist_ok=True)
        self._made.append(path)
        return path

    def unit(self, name: str, serves: Path, **changed: object) -> None:
        """A unit that starts a server on a directory."""
        properties = {"LoadState": "loaded", "ActiveState": "inactive", "MainPID": 0, "UnitFileState": "disabled"}
        text = json.dumps({**properties, "Environment": "", "serves": str(serves), **changed})
        (self.units / name).write_text(text, encoding="utf-8")

    def start(self, path: Path, unit: str | None = None) -> int:
        """Start a server there, by the unit or by no unit; its process."""
        if unit is not None:
            subprocess.run([self.host.programs / "systemctl", "start", unit], check=True)
            (self.units / "calls").write_text("")
        else:
            argv = [self.host.programs / "pg_ctl", "start", f"--pgdata={path}", f"--log={path}.log"]
            subprocess.run(argv, check=True)
        return self.pid(path)

    @property
    def calls(self) -> list[str]:
        """What systemd was asked beside questions."""
        return (self.units / "calls").read_text(encoding="utf-8").splitlines()

    @staticmethod
    def pid(path: Path) -> int:
        """The process of a directory's server; 0 if there is none."""
        file = path / "postmaster.pid"
        return int(file.read_text(encoding="utf-8").split("\n", 1)[0]) if file.exists() else 0

    def end(self) -> None:
        for path in self._made:
            with contextlib.suppress(ProcessLookupError):
                if self.pid(path):
                    os.kill(self.pid(path), signal.SIGKILL)
