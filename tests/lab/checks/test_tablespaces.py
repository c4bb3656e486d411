"""Forty tablespaces with names and places that nobody would choose, half of them mapped, of plain files and of tars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from clone_on_host import Clone
from lab import Lab
from standby_host import BINDIR, DATA, HOST

TOP = "/tmp/pgfleet-tablespaces"
THERE = f"/var/lib/barman/tablespaces-{HOST}"
WORDS = [
    "two words",
    "it's",
    'a "quoted" one',
    "größe ✓",
    "$(touch evil)",
    "-rf",
    "a=b,c",
    "back\\slash",
    "%o %h",
    "*;&|",
]
NAMES = [f"{word} {number}" for number in range(4) for word in WORDS]

# Makes a cluster with a table in each, and two backups of it as Barman lays them out: plain, and in tars. The plain
# one's tablespaces are mapped to where they are kept, as Barman does.
BUILD = f"""\
import json, os, pathlib, subprocess, sys

top = pathlib.Path("{TOP}")
names = json.load(sys.stdin)
os.umask(0o077)
os.environ.update(PATH="{BINDIR}:" + os.environ["PATH"], LC_ALL="C.UTF-8", PGHOST=str(top), PGDATABASE="template1")
log = open(top / "log", "w")

def run(*argv, **more):
    return subprocess.run(argv, check=True, stderr=log, stdout=subprocess.PIPE, text=True, **more).stdout

def place(name):
    # PostgreSQL refuses single quotes in a location, though not in a name.
    return top / "of the primary" / name.replace("'", "")

def quoted(text, mark="'"):
    return mark + text.replace(mark, 2 * mark) + mark

run("initdb", "-D", top / "cluster", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8")
with open(top / "cluster/postgresql.conf", "a") as conf:
    print(f"listen_addresses = ''\\nunix_socket_directories = '{{top}}'\\nfsync = off\\narchive_mode = on", file=conf)
    print(f"archive_command = 'cp %p {{top}}/wal/%f'", file=conf)
subprocess.run(["pg_ctl", "-D", top / "cluster", "-w", "-l", top / "server.log", "start"], check=True, stdout=log)
sql = ["set standard_conforming_strings = on", "update pg_database set datistemplate = false"]
sql += ["drop database template0", "drop database postgres"]
for name in names:
    (top / "wal").mkdir(exist_ok=True)
    place(name).mkdir(parents=True)
    sql.append(f"create tablespace {{quoted(name, chr(34))}} location {{quoted(str(place(name)))}}")
    same = quoted(name, chr(34))
    sql.append(f"create table {{same}} tablespace {{same}} as select {{quoted(name)}} as t")
run("psql", "-qX", input=";\\n".join(sql) + ";\\n")
rows = run("psql", "-qXAtc", "select oid || ' ' || spcname from pg_tablespace where oid > 16000")
oids = {{name: oid for oid, _space, name in (row.partition(" ") for row in rows.splitlines())}}
tables = [
    f"-T{{str(place(name)).replace('=', chr(92) + '=')}}={{top / 'plain' / oid}}"
    for name, oid in oids.items()
]
run("pg_basebackup", "-D", top / "plain/data", *tables, "-c", "fast", "-X", "none", "--no-sync")
run("pg_basebackup", "-D", top / "packed/data", "--format=tar", "--gzip", "-c", "fast", "-X", "none", "--no-sync")
identifier = run("psql", "-qXAtc", "select system_identifier from pg_control_system()").strip()
run("pg_ctl", "-D", top / "cluster", "-w", "-m", "fast", "stop")
run("rsync", "-a", top / "plain", top / "packed", "barman@barman:{THERE}/")
run("rm", "-rf", top / "of the primary", top / "plain", top / "packed")
print(json.dumps([{{name: [oid, str(place(name))] for name, oid in oids.items()}}, identifier]))
"""
# Every table has one row, its own name.
READ = """\
select string_agg(format('select t, %L from %I', spcname, spcname), ' union all ')
from pg_tablespace where oid > 16000 \\gexec
"""


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    lab.reset(HOST)
    clone = Clone.on(lab)
    host, barman = clone.host, lab.barman
    host.run(["rm", "-rf", TOP])
    barman.run(["rm", "-rf", THERE])
    host.run(["install", "-d", "-o", "postgres", TOP])
    barman.run(["install", "-d", "-o", "barman", THERE])
    try:
        host.write(f"{TOP}/build.py", BUILD)
        said = host.run(["python3", f"{TOP}/build.py"], user="postgres", input=json.dumps(NAMES)).stdout
        built, identifier = json.loads(said)
        assert sorted(built) == sorted(NAMES)
        clone.options["backup"] = {
            "status": "DONE",
            "server": "small",
            "version": 150000,
            "system_identifier": identifier,
            "tablespaces": [
                {"name": name, "oid": int(oid), "location": location} for name, (oid, location) in built.items()
            ],
        }
        yield clone
    finally:
        host.run(["rm", "-rf", TOP])
        barman.run(["rm", "-rf", THERE])
        lab.reset(HOST)


@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_forty_tablespaces_are_where_they_belong(clone: Clone, kind: str) -> None:
    """Every second one is mapped, to a place that is no plainer."""
    clone.empty()
    clone.host.run(["rm", "-rf", f"{TOP}/of the primary", f"{TOP}/mapped"])
    backup = {**clone.options["backup"], "backup_id": kind, "directory": f"{THERE}/{kind}"}
    places: dict[str, Any] = {it["name"]: it["location"] for it in backup["tablespaces"]}
    mapping = {places[name]: f"{TOP}/mapped/{name}" for name in NAMES[1::2]}
    result = replace(clone, options={**clone.options, "backup": backup}).run(tablespace_mapping=mapping)
    assert (result.get("action"), result.get("verified")) == ("clone", "manifest"), result

    wanted = {str(it["oid"]): mapping.get(it["location"], it["location"]) for it in backup["tablespaces"]}
    links = clone.host.run(["find", f"{DATA}/pg_tblspc", "-type", "l", "-printf", r"%f %l\n"]).stdout.splitlines()
    assert dict(link.split(" ", 1) for link in links) == wanted
    restore = f"echo \"restore_command = 'cp {TOP}/wal/%f %p'\" >>{DATA}/postgresql.auto.conf"
    clone.host.run(["sh", "-c", restore], user="postgres")
    code, log = clone.try_to_start()
    try:
        assert code == 0, log
        psql = ["psql", "-qXAtF=", "-p", "6000", "template1"]
        rows = clone.host.run(psql, user="postgres", input=READ).stdout.splitlines()
        assert sorted(rows) == sorted(f"{name}={name}" for name in NAMES)
    finally:
        stop = [f"{BINDIR}/pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={DATA}"]
        clone.host.run(stop, user="postgres", check=False)
