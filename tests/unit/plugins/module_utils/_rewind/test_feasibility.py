# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A psql and a pg_rewind that say what real ones said; that they do is tested on real servers."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._formats.pgdata_files import PidFile
from ansible_collections.pgfleet.standby.plugins.module_utils._model import DataDir
from ansible_collections.pgfleet.standby.plugins.module_utils._pgdata.postmaster import Found
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind import feasibility as _feasibility
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.feasibility import (
    own_history,
    prove_rewind,
    reasons_impossible,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._rewind.pg_rewind import pg_rewind
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.barman_host import write_tree
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.mounts import in_own_mounts, mount_tmpfs
from ansible_collections.pgfleet.standby.tests.unit.plugins.module_utils.samples import CONTROL, upstream
from ansible_collections.pgfleet.standby.tests.waiting import (
    BOUND,
    FOR_EVER,
    is_gone,
    more_and_more_seconds,
    wait_until,
)

HINTED = replace(CONTROL, data_checksums=False, wal_log_hints=True)
KEYWORDS = {"host": "n1", "user": "rewinder"}
ANSWER = {"user": "rewinder", "in_recovery": False, "full_page_writes": "on", "lacks": None, "tablespaces": None}
SAID = """\
pg_rewind: connected to server
pg_rewind: servers diverged at WAL location 0/3019F70 on timeline 1
pg_rewind: rewinding from last common checkpoint at 0/3019EC0 on timeline 1
pg_rewind: reading source file list
pg_rewind: reading target file list
pg_rewind: reading WAL in target
"""
COPYING = "pg_rewind: need to copy 50 MB (total source directory size is 70 MB)\n"


@pytest.fixture
def found(host):
    write_tree(host.pgdata, {"PG_VERSION": "15\n", "pg_wal/000000010000000000000003": "w"})
    return DataDir(str(host.pgdata), "cluster", version="15", control=HINTED)


class Programs:
    def __init__(self, host):
        self.host = host
        self.answer()
        self.rewinds(SAID + COPYING)

    def answer(self, **changed):
        (self.host.root / "answer").write_text(json.dumps({**ANSWER, **changed}), encoding="utf-8")
        self.host.program(
            "psql", f"#!/bin/sh\nprintf '%s\\n' \"$@\" >'{self.host.root}/psql.argv'\ncat '{self.host.root}/answer'\n"
        )

    def rewinds(self, says, then="exit 0"):
        (self.host.root / "says").write_text(says, encoding="utf-8")
        self.host.program(
            "pg_rewind",
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" >'{self.host.root}/argv'\ncat '{self.host.root}/says' >&2\n{then}\n",
        )

    def argv(self, name="argv"):
        return (self.host.root / name).read_text(encoding="utf-8").splitlines()


@pytest.fixture
def programs(host):
    return Programs(host)


@pytest.fixture
def ask(host, found, programs):
    def proof(here=found, there=None, keywords=None, **changed):
        return prove_rewind(here, keywords or KEYWORDS, str(host.programs), there or upstream(), **changed)

    return proof


def test_the_dry_run_is_the_proof(ask, programs, found):
    proof = ask()
    assert (proof.reasons, proof.timeline, proof.fork, proof.bytes) == ((), 1, 0x3019F70, 50 << 20)
    assert programs.argv() == [
        f"--target-pgdata={found.path}",
        "--source-server=connect_timeout=10 host=n1 user=rewinder dbname=postgres",
        "--progress",
        "--no-ensure-shutdown",
        "--dry-run",
    ]


def test_the_dry_run_ends_before_it_would_copy(ask, programs):
    programs.rewinds(SAID + COPYING, f"sleep {FOR_EVER}")
    assert ask(timeout=BOUND).reasons == ()


@pytest.mark.parametrize(("left_at", "fits"), [(0x3019F70, True), (0x3019F71, True), (0x3019F00, False)])
def test_where_it_begins_is_where_the_histories_part(ask, left_at, fits):
    """pg_rewind looks at a timeline's own position; a later one that is lower ends the timeline before that."""
    reasons = ask(there=upstream(timeline=3, history=((1, left_at), (2, left_at)))).reasons
    assert (reasons == ()) == fits
    assert fits or reasons == (
        "pg_rewind would begin at 0/3019F70, although the upstream left timeline 1 at 0/3019F00: the positions in its"
        " history go backwards",
    )


# A pg_rewind that lets the restore_command fetch two files, as a shell, and what else happens meanwhile.
FETCHING = """\
#!/bin/sh
for word; do case $word in --config-file=*) file=${{word#*=}} ;; esac; done
command=$(sed "s/^restore_command = '//; s/'$//; s/''/'/g" "$file")
cd '{pgdata}' || exit 1
for name in 000000010000000000000002 00000002.history; do
    sh -c "$(printf '%s' "$command" | sed "s,%f,$name,g; s,%p,pg_wal/$name,g")"
done
{meanwhile}
cat '{says}' >&2
"""
FETCHED = {"000000010000000000000002", "00000002.history"}


class TestWalOfADryRun:
    @pytest.fixture
    def dry_run(self, ask, programs, found, host):
        """Ask with such a pg_rewind; the reasons, and the names that are new in pg_wal."""
        write_tree(host.pgdata, {"global/pg_control": "control"})
        write_tree(host.root / "archive", dict.fromkeys(FETCHED, "w"))
        before = {path.name for path in (host.pgdata / "pg_wal").iterdir()}

        def run(meanwhile=":", command=f"cp '{host.root}/archive/%f' %p"):
            programs.host.program(
                "pg_rewind", FETCHING.format(pgdata=host.pgdata, says=host.root / "says", meanwhile=meanwhile)
            )
            reasons = ask(restore_command=command).reasons
            return reasons, {path.name for path in (host.pgdata / "pg_wal").iterdir()} - before

        return run

    def test_that_it_has_fetched_goes(self, dry_run, host):
        wal = host.pgdata / "pg_wal"
        before = wal.stat().st_mtime_ns
        assert dry_run() == ((), set())
        assert wal.stat().st_mtime_ns == before

    def test_that_it_has_begun_to_fetch_goes(self, dry_run):
        """A part of a segment would be taken for one."""
        assert dry_run(command="echo part >%p; false") == ((), set())

    def test_that_it_has_not_fetched_stays(self, dry_run):
        """Whoever has put it there."""
        meanwhile = "echo theirs >pg_wal/000000010000000000000007"
        assert dry_run(meanwhile) == ((), {"000000010000000000000007"})

    def test_of_the_cluster_stays_although_it_was_asked_for(self, dry_run, host):
        write_tree(host.pgdata, {"pg_wal/000000010000000000000002": "own"})
        assert dry_run() == ((), {"000000010000000000000002"})
        assert (host.pgdata / "pg_wal/000000010000000000000002").exists()

    def test_stays_when_a_server_has_written_pg_control(self, dry_run):
        [reason], left = dry_run("echo started >global/pg_control")
        assert "a server was started" in reason
        assert left == FETCHED

    @pytest.mark.parametrize("seen", [Found(PidFile(4711)), Found(doubt="a container has it")], ids=["runs", "may run"])
    def test_stays_when_a_server_runs(self, dry_run, monkeypatch, seen):
        monkeypatch.setattr(_feasibility, "look_for_server", lambda _path: seen)
        [reason], left = dry_run()
        assert "a server was started" in reason
        assert left == FETCHED


@pytest.mark.parametrize("where", ["dumps", "pg_wal"])
def test_another_file_system_inside_speaks_against_it(ask, host, where):
    """pg_rewind removes what the upstream does not have, whatever file system it is on."""

    def work():
        mount_tmpfs(host.pgdata / where)
        return " ".join(ask().reasons)

    assert ("other file systems hold" in in_own_mounts(work)) == (where == "dumps")


def test_a_tablespace_inside_speaks_against_it(ask, host):
    write_tree(host.pgdata, {"ts1/PG_15_202209061/5/1": "pages"})
    [reason] = ask().reasons
    assert reason.startswith("tablespaces lie inside of the data directory")
    assert reason.endswith(f": {host.pgdata}/ts1")


def test_it_asks_as_pg_rewind_will(ask, programs):
    ask()
    argv = programs.argv("psql.argv")
    assert argv[0] == "-XAtqw"
    assert argv[-1] == "connect_timeout=10 host=n1 user=rewinder dbname=postgres"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"control": replace(HINTED, wal_log_hints=False)}, "neither data checksums", id="no hints"),
        pytest.param({"control": replace(HINTED, state="in production")}, "not shut down cleanly", id="crashed"),
        pytest.param({"version": "14"}, "the upstream is PostgreSQL 15, the cluster is of 14", id="another version"),
        pytest.param({"version": "11"}, "too old", id="old"),
        pytest.param({"control": None}, "holds no complete cluster", id="no cluster"),
    ],
)
def test_what_of_the_cluster_speaks_against_it(ask, found, changed, said):
    assert said in " ".join(ask(replace(found, **changed)).reasons)


def test_either_of_the_two_is_enough(ask, found):
    control = replace(HINTED, wal_log_hints=False, data_checksums=True)
    assert ask(replace(found, control=control)).reasons == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param({"full_page_writes": "off"}, "full_page_writes is off", id="torn pages"),
        pytest.param(
            {"lacks": ["pg_ls_dir(text,boolean,boolean)"]},
            'GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text,boolean,boolean) TO "rewinder"',
            id="rights",
        ),
        pytest.param({"tablespaces": {"16388": "fast"}}, "tablespaces that are not here: fast", id="new tablespace"),
    ],
)
def test_what_of_the_upstream_speaks_against_it(ask, programs, answer, said):
    programs.answer(**answer)
    [reason] = ask().reasons
    assert said in reason
    assert not (programs.host.root / "argv").exists()


@pytest.mark.parametrize(("major", "possible"), [(13, False), (14, True)])
def test_a_standby_as_upstream(ask, programs, found, major, possible):
    programs.answer(in_recovery=True)
    proof = ask(replace(found, version=str(major)), upstream(version=major * 10000))
    assert (proof.reasons == ()) == possible


def test_a_tablespace_that_is_here_too(ask, programs, host):
    (host.pgdata / "pg_tblspc/16388").mkdir(parents=True)
    programs.answer(tablespaces={"16388": "fast"})
    assert ask().reasons == ()


def test_all_reasons_are_told_together(ask, programs, found, host):
    programs.answer(full_page_writes="off", in_recovery=True)
    (host.programs / "pg_rewind").unlink()
    control = replace(HINTED, wal_log_hints=False, state="in production")
    proof = ask(replace(found, version="13", control=control), upstream(version=130000))
    assert len(proof.reasons) == 5
    there = upstream(version=130000)
    here = replace(found, version="13", control=control)
    assert reasons_impossible(here, KEYWORDS, str(host.programs), there) == list(proof.reasons)
    assert not any(reason.endswith(".") for reason in proof.reasons)


def test_a_login_that_fails(ask, host):
    host.program("psql", "#!/bin/sh\necho 'psql: error: FATAL:  no pg_hba.conf entry' >&2; exit 2\n")
    [reason] = ask().reasons
    assert "no pg_hba.conf entry" in reason
    assert "rewinder" in reason


def test_no_secret_becomes_an_argument(ask, programs):
    [reason] = ask(keywords={**KEYWORDS, "sslpassword": "Geh3im"}).reasons
    assert "sslpassword" in reason
    assert "Geh3im" not in reason
    assert not (programs.host.root / "psql.argv").exists()


@pytest.mark.parametrize(
    ("says", "then", "said"),
    [
        pytest.param(
            "pg_rewind: source and target cluster are on the same timeline\npg_rewind: no rewind required\n",
            "exit 0",
            "has not completed a checkpoint since its promotion",
            id="no checkpoint yet",
        ),
        pytest.param(
            "pg_rewind: servers diverged at WAL location 0/3 on timeline 1\npg_rewind: no rewind required\n",
            "exit 0",
            "finds nothing to rewind",
            id="nothing to do",
        ),
        pytest.param(
            'pg_rewind: error: could not open file "/srv/pg/pg_wal/000000010000000000000002": No such file\n'
            "pg_rewind: error: could not find previous WAL record at 0/2000100\n",
            "exit 1",
            "WAL from before the fork is not in",
            id="WAL is gone",
        ),
        pytest.param(
            'pg_rewind: error: file "server.key" is of different type in source and target\n',
            "exit 1",
            'its dry run fails: file "server.key" is of different type in source and target',
            id="another reason",
        ),
    ],
)
def test_what_the_dry_run_finds(ask, programs, says, then, said):
    programs.rewinds(says, then)
    [reason] = ask().reasons
    assert said in reason


@pytest.mark.parametrize(
    ("version", "command", "said"),
    [
        ("15", None, "no restore_command was given"),
        ("14", "cp x", "from 15 on only"),
        ("15", "cp x", "did not bring it"),
    ],
)
def test_why_missing_wal_was_not_fetched(ask, programs, found, version, command, said):
    programs.rewinds("pg_rewind: fatal: could not find previous WAL record at 0/2000100\n", "exit 1")
    here, there = replace(found, version=version), upstream(version=int(version) * 10000)
    [reason] = ask(here, there, restore_command=command).reasons
    assert said in reason


def test_a_restore_command_comes_in_a_private_file(ask, programs, host):
    script = (
        "#!/bin/sh\nfor word; do case $word in --config-file=*) file=${word#*=} ;; esac; done\n"
        f"cp \"$file\" '{host.root}/config'; stat -c %a \"$file\" >>'{host.root}/config'\n"
        f"printf '%s\\n' \"$@\" >'{host.root}/argv'\n"
        f"printf '{(SAID + COPYING).encode('unicode_escape').decode()}' >&2\n"
    )
    host.program("pg_rewind", script)
    assert ask(restore_command="fetch 'it' %f %p").reasons == ()
    assert "--restore-target-wal" in programs.argv()
    config = (host.root / "config").read_text(encoding="utf-8")
    assert re.fullmatch(r"restore_command = 'echo %f >>/\S+/fetched; fetch ''it'' %f %p'\n600\n", config)
    assert "fetch" not in " ".join(programs.argv())


def test_a_dry_run_that_does_not_end_is_ended_with_all_it_started(ask, programs, host):
    child = host.root / "child"
    programs.rewinds("", f"sleep {FOR_EVER} & echo $! >'{child}'; wait")
    for seconds in more_and_more_seconds():
        [reason] = ask(timeout=seconds).reasons
        assert f"for {seconds:g} seconds it has neither computed nor read nor written" in reason
        if child.exists() and child.read_text(encoding="utf-8"):
            break
    wait_until(lambda: is_gone(child.read_text(encoding="utf-8").strip()), "the end of what it had started")


def test_it_holds_what_it_inherits(host, found, programs):
    with open(host.root / "lock", "w", encoding="utf-8") as lock:
        programs.rewinds("", f"readlink /proc/self/fd/{lock.fileno()}")
        done = pg_rewind(found, KEYWORDS, str(host.programs), inherited=(lock.fileno(),))
    assert done.lines == (str(host.root / "lock"),)


def test_progress_is_not_kept(host, found, programs):
    programs.rewinds("one\n  12/100 kB (12%) copied\n100/100 kB (100%) copied\ntwo\n", "exit 3")
    done = pg_rewind(found, KEYWORDS, str(host.programs))
    assert (done.rc, done.lines) == (3, ("one", "two"))


def test_own_history(found, host):
    assert own_history(found) == ()
    write_tree(host.pgdata, {"pg_wal/00000003.history": "1\t0/3000000\tpromoted\n2\t0/4000000\tpromoted\n"})
    control = replace(HINTED, min_recovery_timeline=3)
    assert own_history(replace(found, control=control)) == ((1, 0x3000000), (2, 0x4000000))
