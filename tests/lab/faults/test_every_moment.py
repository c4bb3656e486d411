"""I1 and I2 under signals: a kill before every change that a copy makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from clone_on_host import PLACE, Clone
from lab import Lab
from podman import Host
from small_cluster import SMALL, build_small, remove_small
from standby_host import BINDIR, STATE

# Runs on the standby: copies again and again, each copy killed one change later than the one before. The copying
# process is a fork of this one, so its changes can be counted, and the kill is exact.
MATRIX = f"""\
import contextlib, filecmp, json, os, shutil, signal, subprocess, sys

from ansible_collections.pgfleet.standby.plugins.module_utils._clone.begin import clone_detached
from ansible_collections.pgfleet.standby.plugins.module_utils._clone.job import Consent, Job, Target, TransferOptions
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._methods.rsync import copy as bring
from ansible_collections.pgfleet.standby.plugins.module_utils._module import backup_of
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.state import read_clone_state

backup, mode = json.load(sys.stdin)
over = mode != "clone"
if mode == "replace":
    backup["system_identifier"] = None  # so that it is not known for the same cluster
TOP, EVENTS = "{SMALL}/standby", "{SMALL}/events"
DATA, FAST, STATE, CONTROL = TOP + "/main", TOP + "/fast", TOP + "/.main.standby", TOP + "/main/global/pg_control"
OID = backup["tablespaces"][0]["oid"]
SOURCE = "{SMALL}/" + backup["backup_id"]
OLD = "{SMALL}/old"
JOB = Job(backup_of(backup), BarmanHost("barman@barman"), Target(DATA, STATE, "{BINDIR}", {{OID: FAST}}),
          Consent(dict(clone="never", replace="always").get(mode, "same_cluster"), keep_old=mode == "keep"),
          TransferOptions(compress="none"))
ACTION = "clone" if mode == "keep" else mode

# --- counting, and the kill ---
MADE = {{"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.chmod", "os.truncate", "subprocess.Popen"}}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
kill_at, count, inside = 0, 0, False

def watch(event, arguments):
    global count, inside
    if event == "open":
        if not arguments[2] & WRITING:
            return
    elif event not in MADE:
        return
    path = str(arguments[event in ("os.rename", "os.symlink")])
    passing = path.startswith((STATE + "/work/", STATE + "/progress"))  # needed meanwhile, or written by the clock
    if passing or event != "subprocess.Popen" and not path.startswith(TOP):
        return
    if not inside:
        inside = event == "open" and arguments[2] & os.O_CREAT and path == STATE + "/runner"
        if not inside:
            return
    count += 1
    with open(EVENTS, "a") as events:
        events.write(f"{{event}} {{path if path.startswith(TOP) else arguments[0]}}\\n")
    if count == kill_at:
        if count % 2:  # every second time with all that it has started, which else goes on to its end
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

def descendants(top):
    parents = {{}}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{{name}}/stat") as stat:
                parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
    found = {{top}}
    while more := {{pid for pid, parent in parents.items() if parent in found}} - found:
        found |= more
    return found - {{top}}

def copy(at=0):
    # Its outcome or error, and the changes it came to.
    global kill_at
    kill_at = at
    open(EVENTS, "w").close()
    try:
        said = clone_detached(JOB, bring).action
    except StandbyError as error:
        said = error.code
    with open(EVENTS) as events:
        return said, events.read().splitlines()

# --- what is there ---
# A run that is killed before its last step leaves its mark, which the next one takes away.
LEFT_OUT = {{".pgfleet.mark", "pg_wal", "pg_tblspc", "postgresql.auto.conf", "standby.signal"}}
LEFT_OUT |= {{"tablespace_map", "pg_replslot"}}

def contents(top):
    found = {{}}
    for directory, directories, files in os.walk(top):
        if directory == top:
            directories[:] = [name for name in directories if name not in LEFT_OUT]
            files = [name for name in files if name not in LEFT_OUT]
        for name in files:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[path[len(top):]] = file.read()
    return found

BACKUP = contents(SOURCE + "/data"), contents(f"{{SOURCE}}/{{OID}}")

def there():
    return contents(DATA), contents(FAST)

def kept(old):
    return (contents(DATA + ".old"), contents(FAST + ".old")) == old and os.readlink(
        f"{{DATA}}.old/pg_tblspc/{{OID}}") == FAST + ".old"

def phase():
    return (read_clone_state(STATE) or {{}}).get("phase")

def whole():
    return there() == BACKUP and os.path.exists(DATA + "/standby.signal") and os.readlink(
        f"{{DATA}}/pg_tblspc/{{OID}}") == FAST

def start_and_stop():
    with open(DATA + "/postgresql.auto.conf", "a") as settings:
        settings.write("restore_command = 'cp {SMALL}/wal/%f %p'\\n")
    ctl = ["{BINDIR}/pg_ctl", "--pgdata", DATA, "--wait", "--silent"]
    options = "-c port=6001 -c archive_mode=off -c unix_socket_directories=" + TOP
    subprocess.run([*ctl, "--log", "{SMALL}/log", "--options", options, "start"], check=True)
    subprocess.run([*ctl, "--mode", "immediate", "stop"], check=True)

def prepare():
    shutil.rmtree(TOP, ignore_errors=True)
    if over:
        subprocess.run(["cp", "-a", OLD, TOP], check=True)
    else:
        os.makedirs(DATA, mode=0o700)
        os.makedirs(FAST, mode=0o700)

# --- the matrix ---
def sharp(events):
    # Each change from the first record of the copy on; of what goes before, of directories and modes, and of a
    # thousand removed tables, a few.
    first = next(n for n, event in enumerate(events) if "/.state.json." in event)
    dull = ("os.mkdir", "os.chmod", "subprocess.Popen ssh", "subprocess.Popen /usr")
    tables = [FAST, DATA + "/base", *(f"{{DATA}}/global/{{digit}}" for digit in range(1, 10))]
    if mode == "replace":
        dull += tuple("os.remove " + top for top in tables)
    rest = [n for n, event in enumerate(events, 1) if n <= first or event.startswith(dull)]
    return sorted({{*range(1, len(events) + 1)}} - set(rest) | set(rest[:: len(rest) // 6]))

sys.addaudithook(watch)
prepare()
before = there()
said, events = copy()
assert said == ACTION and whole(), said
if not over:
    shutil.rmtree(OLD, ignore_errors=True)
    shutil.copytree(TOP, OLD, symlinks=True)
started, wrong, kinds = set(), [], dict(unharmed=0, unstartable=0, complete=0)
for at in [*sharp(events), len(events)]:
    prepare()
    said, now = copy(at)
    killed = f"{{at}} before {{now[-1]}}" if len(now) == at else f"{{at}} too late"
    has_control = os.path.exists(CONTROL)
    if over and has_control and there() == before:
        kind = "unharmed"
    elif not has_control:
        kind = "unstartable"
    elif whole() and phase() in ("committing", "committed"):
        kind = "complete"
    else:
        wrong.append(f"{{killed}}: startable, but neither the old cluster nor the new one, {{phase()}}")
        continue
    kinds[kind] += 1
    old = before
    if kind == "unharmed" and kind not in started:
        started.add(kind)
        start_and_stop()
        old = there()
    action, _events = copy()
    if action not in dict(unharmed=(ACTION,), unstartable=("clone", "resume"), complete=("none",))[kind]:
        wrong.append(f"{{killed}}: {{kind}}, then {{action}}")
    if not whole() or phase() != "committed":
        wrong.append(f"{{killed}}: {{kind}}, and the next run, {{action}}, leaves {{phase()}} and not the backup")
    if mode == "keep" and not kept(old):
        wrong.append(f"{{killed}}: {{kind}}, and the next run, {{action}}, leaves the old cluster torn")
    litter = set(os.listdir(STATE)) - {{"lock", "runner", "state.json", "result.json", "progress.json"}}
    if litter:
        wrong.append(f"{{killed}}: litter {{litter}}")
start_and_stop()
print(json.dumps(dict(kinds=kinds, wrong=wrong)))
"""


@dataclass
class Small:
    """A standby with a small cluster's two backups."""

    host: Host
    backups: list[dict[str, Any]]

    def matrix(self, number: int, mode: str) -> dict[str, Any]:
        program = ["env", f"PYTHONPATH={PLACE}/lib", "python3", f"{SMALL}/matrix.py"]
        given = json.dumps([self.backups[number], mode])
        return dict(json.loads(self.host.run(program, user="postgres", input=given).stdout))


@pytest.fixture(scope="module")
def clone(lab: Lab) -> Iterator[Clone]:
    clone = Clone.on(lab)
    yield clone
    clone.empty()
    clone.host.run(["rm", "-rf", STATE])


@pytest.fixture(scope="module")
def small(lab: Lab, clone: Clone) -> Iterator[Small]:
    remove_small(lab, clone.host)
    try:
        small = Small(clone.host, build_small(lab, clone.host))
        clone.host.write(f"{SMALL}/matrix.py", MATRIX)
        yield small
    finally:
        remove_small(lab, clone.host)


def test_a_kill_before_any_change_leaves_nothing_or_all_of_a_clone(small: Small) -> None:
    found = small.matrix(0, "clone")
    assert found["wrong"] == []
    assert found["kinds"]["unstartable"] >= 15
    assert found["kinds"]["complete"] >= 4


@pytest.mark.parametrize(
    "mode", ["delta", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("replace", "keep"))]
)
def test_a_kill_before_any_change_leaves_the_old_cluster_or_nothing_or_all_of_the_new_one(
    small: Small, mode: str
) -> None:
    """The old cluster is the clone that the first test has left. One that is to be kept is whole in the end."""
    found = small.matrix(1, mode)
    assert found["wrong"] == []
    assert found["kinds"]["unharmed"] >= 4
    assert found["kinds"]["unstartable"] >= 15
    assert found["kinds"]["complete"] >= 4
