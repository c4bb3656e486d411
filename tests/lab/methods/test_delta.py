"""overwrite=same_cluster: a stopped cluster is brought to a backup, and whatever is not meant is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from clone_on_host import FAST, Clone
from delta import DELTA, OLD, TAMPER, THERE, WALDIR, WORK, Small, pg_ctl
from lab import Lab
from podman import Host, wait_for
from standby_host import DATA, HOST
from untouched import look, python

OTHER = "/srv/delta/other"
MARK = "#pgfleet-delta"


def test_a_cluster_becomes_the_backup(small: Small) -> None:
    host = small.host
    before = look(host, *OLD)
    host.run(["install", "-o", "postgres", "-m", "600", "/dev/null", f"{DATA}/stray"])
    assert any(path.startswith(f"{DATA}/pg_wal/0") for path in before)
    assert f"{DATA}/postmaster.opts" in before

    done = small.to("second")
    assert done["action"] == "delta", done
    assert done["bytes_sent"] < done["bytes"] // 5
    assert done["left_behind"] == []
    after = look(host, *OLD)
    gone = {path.removeprefix(f"{DATA}/") for path in set(before) - set(after)}
    assert "postmaster.opts" in gone
    assert not [path for path in after if path.startswith(f"{DATA}/pg_wal/0")]
    assert f"{DATA}/stray" not in after
    assert [path for path in gone if re.fullmatch(r"base/\d+/\d+", path)], "files of the dropped table"
    small.assert_healthy()
    assert small.to("second")["action"] == "none"


def test_check_mode_tells_and_changes_nothing(small: Small) -> None:
    before = look(small.host, *OLD)
    told = small.to("second", _ansible_check_mode=True)
    assert (told["action"], told["changed"], told["finished"]) == ("delta", True, True), told
    assert "a standby of PostgreSQL 15" in told["diff"]["before"]
    assert "a clone of backup second" in told["diff"]["after"]
    assert look(small.host, *OLD) == before


@pytest.mark.parametrize("name", ["second", "third"])
def test_a_change_that_size_and_time_hide_is_found(small: Small, name: str) -> None:
    """With a manifest and without. It is a file that the two backups have alike."""
    hidden = f"{DATA}/base/1/1255"
    python(small.host, TAMPER, hidden)
    shown = ["--format=%s %.9Y"]
    wanted = small.lab.barman.run(["stat", *shown, f"{THERE}/second/data/base/1/1255"]).stdout
    assert small.host.run(["stat", *shown, hidden]).stdout == wanted
    assert small.to(name)["action"] == "delta"
    small.assert_healthy()


def test_with_a_manifest_only_what_differs_is_sent(small: Small) -> None:
    """Although no file has the time of the backup's."""
    damaged = f"{FAST}/{small.host.run(['ls', FAST]).stdout.strip()}"
    quick = small.host.run(["find", damaged, "-type", "f", "-size", "+1000k"]).stdout.strip()
    python(small.host, TAMPER, quick)
    before = look(small.host, *OLD)

    done = small.to("third")
    assert (done["action"], done["verified"]) == ("delta", "manifest"), done
    after = look(small.host, *OLD)
    assert after[quick][-1] != before[quick][-1]
    changed = [path for path in after if path in before and after[path][-1] != before[path][-1]]
    assert len(changed) < 60
    assert sum(path in before for path in after) > 900
    assert done["bytes_sent"] < done["bytes"] // 20
    assert done["bytes_received"] < done["bytes"] // 20
    small.assert_healthy()


def move_wal(host: Host) -> None:
    """As initdb --waldir or an administrator has it."""
    host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "/srv/delta"])
    move = f"mv {DATA}/pg_wal {WALDIR}; ln -s {WALDIR} {DATA}/pg_wal"
    host.run(["sh", "-euc", move], user="postgres")


def test_the_wal_stays_where_it_was(small: Small) -> None:
    move_wal(small.host)
    done = small.to("second", waldir=WALDIR)
    assert (done["action"], done["left_behind"]) == ("delta", []), done
    assert look(small.host, DATA)[f"{DATA}/pg_wal"][-1] == WALDIR
    assert set(look(small.host, WALDIR)) == {WALDIR, f"{WALDIR}/archive_status"}
    small.assert_healthy()


def test_the_wal_elsewhere_does_not_move_without_a_word(small: Small) -> None:
    move_wal(small.host)
    before = look(small.host, DATA, WALDIR)
    done = small.to("second")
    assert (done.get("error_code"), f"waldir={WALDIR}" in done["msg"]) == ("waldir_missing", True), done
    assert look(small.host, DATA, WALDIR) == before
    small.host.run(["rm", f"{DATA}/pg_wal"])
    before = look(small.host, WALDIR)
    assert small.to("second")["action"] == "delta"
    assert small.host.run(["stat", "--format=%F", f"{DATA}/pg_wal"]).stdout.strip() == "directory"
    assert look(small.host, WALDIR) == before


def test_a_former_primary_becomes_a_standby(small: Small) -> None:
    """What it had written since is gone; a tablespace that the backup does not know is left and reported."""
    host = small.host
    host.run(["install", "-d", "-o", "postgres", "-g", "postgres", "/srv/delta", OTHER])
    assert small.try_to_start()[0] == 0
    pg_ctl(host, "promote")
    written = "update big set filler = 'z' where n % 3000 = 0; create table since as select * from big where n < 99;"
    more = f"create tablespace other location '{OTHER}';\ncreate table there tablespace other as select * from since;"
    psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={WORK}", "--port=6000", "postgres"]
    host.run(psql, user="postgres", input=f"{written}\n{more}")
    pg_ctl(host, "stop", "--mode=fast")
    before = look(host, OTHER)
    assert not host.exists(f"{DATA}/standby.signal")

    done = small.to("second")
    assert (done["action"], done["left_behind"]) == ("delta", [OTHER]), done
    assert "a cluster of PostgreSQL 15" in done["diff"]["before"]
    assert done["bytes_sent"] < done["bytes"] // 5
    assert look(host, OTHER) == before
    assert host.exists(f"{DATA}/standby.signal")
    small.assert_healthy()


CHANGE = f"""\
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 6000 = 0;
DROP TABLE delta_dropped;
CREATE TABLE delta_made AS SELECT generate_series(1, 1000) AS id;
COMMENT ON TABLE delta_made IS '{MARK}';
"""
# Barman's own backup, taken out of its catalogue at once, so that nobody else chooses it.
BACKUP = f"""\
set -eu
mkdir -p {THERE}
said=$(barman backup --wait --wait-timeout 300 pg 2>&1)
place=$(echo "$said" | grep -o '/[^ ]*/base/[0-9T]*' | head -n1)
cp -a --link "$place" {THERE}/
barman delete pg "$(basename "$place")" >/dev/null 2>&1
basename "$place"
"""


@pytest.fixture
def real(lab: Lab) -> Iterator[Clone]:
    """A standby of the newest backup that has run, and a newer backup to bring it to."""
    lab.reset(HOST)
    tidy = "DROP TABLE IF EXISTS delta_dropped, delta_made;"
    clone = Clone.on(lab)
    try:
        lab.primary_sql(f"{tidy}CREATE TABLE delta_dropped AS SELECT generate_series(1, 1000) AS id;", "bench")
        lab.primary_sql("SELECT pg_switch_wal();")
        assert clone.run()["action"] == "clone"
        code, log = clone.try_to_start()
        assert code == 0, log
        psql = ["psql", "-XAtqp", "6000", "bench", "-c", "SELECT count(*) FROM delta_dropped"]
        wait_for(lambda: clone.host.run(psql, user="postgres", check=False).stdout == "1000\n", "replay")
        pg_ctl(clone.host, "stop", "--mode=fast")
        lab.primary_sql(CHANGE, "bench")
        name = lab.barman.run(["bash", "-c", BACKUP], user="barman").stdout.strip()
        clone.options["backup"] |= {"backup_id": name, "directory": f"{THERE}/{name}", "begin_lsn": None}
        yield clone
    finally:
        lab.primary_sql(tidy, "bench")
        lab.reset(HOST)
        lab.barman.run(["rm", "-rf", THERE])


def test_a_standby_is_brought_to_a_newer_backup_of_barmans(real: Clone) -> None:
    done = real.run(**DELTA)
    assert done["action"] == "delta", done
    print(f"{done['bytes_sent']} of {done['bytes']} bytes sent, {done['bytes_received']} received")  # noqa: T201
    assert done["bytes_sent"] < done["bytes"] // 5
    real.assert_healthy()
