"""A small cluster, three backups of it, and a stopped standby that is brought from one to the other."""

from __future__ import annotations

import dataclasses
from typing import Any

from clone_on_host import FAST, Clone
from held import Held
from podman import Host, wait_for
from standby_host import BINDIR, DATA, HOST, STATE

# Backups of our own are here on the Barman host; what the tests keep on the standby is here.
THERE = f"/var/lib/barman/delta-{HOST}"
WORK = "/opt/pgfleet-delta"
WALDIR = "/srv/delta/wal"
OLD = (DATA, FAST, STATE)
DELTA = {"overwrite": "same_cluster"}
# As Barman leaves them out.
EMPTIED = ("wal", "tblspc", "subtrans", "notify", "stat_tmp", "snapshots", "serial")
EXCLUDED = " ".join(["--exclude=/postmaster.*", *(f"--exclude=/pg_{name}/*" for name in EMPTIED)])

# A small cluster, and three backups of it: two as Barman's rsync makes them, with the files' own times, and one by
# pg_basebackup, with a manifest. Between the first and the others little changes.
BUILD = f"""\
set -eu
umask 077
export PATH={BINDIR}:$PATH LC_ALL=C PGHOST={WORK} PGPORT=6001 PGDATABASE=postgres
cd {WORK}
mkdir wal later backups backups/first backups/second backups/third
initdb -D primary --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >log
initdb -D another --auth=trust --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 >>log
pg_ctl start -w -s -D another -l log -o "-k {WORK} -p 6002 -c listen_addresses= -c fsync=off"
psql -qXp 6002 -c "create role somebody"
pg_ctl stop -w -s -D another -m fast
pg_ctl start -w -s -D primary -l log -o "-k {WORK} -c listen_addresses= -c fsync=off -c wal_keep_size=900"
psql -qXc "create tablespace fast location '{FAST}'"
psql -qXc "create table big as select n, repeat('x', 200) as filler from generate_series(1, 60000) n"
psql -qXc "create table quick tablespace fast as select * from big where n < 20000"
psql -qXc "create table dropped as select * from big where n < 1000"
psql -qXc "vacuum freeze" -c checkpoint
oid=$(psql -qXAtc "select oid from pg_tablespace where spcname = 'fast'")
copy() {{
    psql -qXAt >log <<END
select pg_backup_start('$1', true);
\\! rsync -a {EXCLUDED} primary/ backups/$1/data/
\\! rsync -a {FAST}/ backups/$1/$oid/
\\o backups/$1/data/backup_label
select labelfile from pg_backup_stop(true);
END
}}
copy first
psql -qXAtc "select pg_switch_wal()" >log
cp primary/pg_wal/0* wal/
psql -qXc "update big set filler = 'y' where n % 6000 = 0" -c "update quick set filler = 'y' where n = 9"
psql -qXc "create table made tablespace fast as select * from big where n < 500" -c "drop table dropped" -c checkpoint
copy second
pg_basebackup -D backups/third/data -T {FAST}={WORK}/backups/third/$oid -c fast -X none --no-sync 2>>log
find backups/third/data/pg_tblspc -type l -delete
psql -qXAtc "select $oid, system_identifier from pg_control_system()"
pg_ctl stop -w -s -D primary -m fast
cp primary/pg_wal/0* later/
rsync -a backups/ barman@barman:{THERE}/
rm -rf primary backups {FAST}/*
"""

# Changes one byte of each file, and nothing that a directory's listing would show.
TAMPER = """\
import os, sys

for path in sys.argv[1:]:
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
"""

# Ends the copying process and its rsyncs, so that none can tidy up.
KILLER = f"""\
import json, os, pathlib, signal

os.kill(json.loads(pathlib.Path("{STATE}/runner").read_text())["pid"], signal.SIGKILL)
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if pathlib.Path("/proc", pid, "cmdline").read_bytes().startswith((b"rsync", b"ssh\\0")):
            os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass
"""


def pg_ctl(host: Host, verb: str, *arguments: str) -> None:
    argv = [f"{BINDIR}/pg_ctl", verb, "--wait", "--silent", f"--pgdata={DATA}", *arguments]
    host.run(argv, user="postgres")


@dataclasses.dataclass
class Small(Clone):
    """Clones of the small cluster, whose WAL is at hand; a stopped standby that had the first backup is kept."""

    backups: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def start_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "unix_socket_directories": WORK,
            "restore_command": f"cp {WORK}/wal/%f %p",
        }

    def to(self, name: str, **options: Any) -> dict[str, Any]:
        """Bring what is there to a backup's state."""
        self.options["backup"] = self.backups[name]
        return self.run(**{**DELTA, **options})

    def interrupted(self, hold: Held, moment: str, **options: Any) -> None:
        """A run that is killed at a moment; every change is a moment in faults/test_every_moment.py."""
        if moment == "before the first file":
            hold.after(0)
            copy = self.start(**{**DELTA, **options})
            hold.wait(copy)
            # The first stream may have been opened a moment before.
            wait_for(lambda: self.state().get("phase") == "copying", "the copy to begin")
        else:
            hold.before_control()
            copy = self.start(**{**DELTA, **options})
            # Strangers have gone, the former standby's among them, before the first file is brought.
            wait_for(hold.has_come_to_control, "all but pg_control to be there")
            assert self.host.exists(f"{DATA}/standby.signal")
        self.host.run(["python3", "-"], input=KILLER)
        assert self.finish(copy).get("error_code") == "copy_killed"
        hold.go_on()

    def keep(self) -> None:
        """A standby of the first backup that has run for a moment."""
        assert self.to("first")["action"] == "clone"
        assert self.try_to_start()[0] == 0
        pg_ctl(self.host, "stop", "--mode=fast")
        # From now on there is the rest of the WAL, too.
        keep = f"mkdir {WORK}/old; cp -a --parents {' '.join(OLD)} {WORK}/old; mv {WORK}/later/* {WORK}/wal/"
        self.host.run(["sh", "-euc", keep])

    def restore(self) -> None:
        """That standby, as it was when it was stopped."""
        self.clear()
        self.host.run(["cp", "-a", f"{WORK}/old/.", "/"])

    def clear(self) -> None:
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
        self.host.run(stop, user="postgres", check=False)
        self.host.run(["rm", "-rf", "/srv/delta"])
        self.empty()
