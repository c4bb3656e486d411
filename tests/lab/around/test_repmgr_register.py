"""A standby that is registered with repmgr once it streams, by Debian's repmgr and the role."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from podman import LabError
from standby_host import BINDIR, DATA, HOST
from upstream import PORT, UPSTREAM, OwnBarman, Upstream, own_barman

pytestmark = pytest.mark.long

REPMGR = f"{BINDIR}/repmgr"
CONF = "/var/tmp/repmgr-{}.conf"
NODE = """\
node_id = {number}
node_name = '{name}'
conninfo = 'host={place} port={port} user=postgres dbname=repmgr'
data_directory = '{data}'
pg_bindir = '{bindir}'
"""
SOCKET = "/var/run/postgresql"
RECORD = "SELECT type, active, upstream_node_id FROM repmgr.nodes WHERE node_id = 2"


@pytest.fixture(scope="module")
def barman(upstream: Upstream) -> Iterator[OwnBarman]:
    if not upstream.host.exists(REPMGR):
        raise LabError("this lab has no repmgr; make lab-down lab")
    nodes = {
        1: {"name": "upstream", "place": "/tmp", "port": PORT, "data": UPSTREAM},
        2: {"name": HOST, "place": SOCKET, "port": "5432", "data": DATA},
    }
    for number, node in nodes.items():
        text = NODE.format(number=number, bindir=BINDIR, **node)
        upstream.host.write(CONF.format(number), text, owner="postgres")
    with own_barman(OwnBarman(upstream.lab, f"{HOST}-repmgr")) as barman:
        yield barman


def test_a_standby_is_registered_once(upstream: Upstream, barman: OwnBarman) -> None:
    extra = {"config": barman.conf, "repmgr_register": True, "repmgr_conf": CONF.format(2)}

    # Told before anything changes: repmgr would look for another name at the upstream.
    run = upstream.play(**extra, application_name="other")
    assert (run.rc, run.recap[HOST]["changed"]) == (2, 0), run.output
    assert "application_name, which would be other" in " ".join(run.output.split()), run.output

    # A primary that repmgr does not know is for repmgr to complain about; the standby is there all the same.
    run = upstream.play(**extra)
    assert run.rc == 2, run.output
    assert "The standby streams, but repmgr does not have node 2" in run.output
    assert 'database \\"repmgr\\" does not exist' in run.output
    upstream.assert_same()

    upstream.sql("CREATE DATABASE repmgr")
    upstream.host.run([REPMGR, "-f", CONF.format(1), "primary", "register"], user="postgres")
    checked = upstream.play("--check", **extra)
    assert (checked.rc, checked.recap[HOST]["changed"]) == (0, 1), checked.output
    assert upstream.sql(RECORD, db="repmgr") == ""

    run = upstream.play(**extra, repmgr_register_options=["--upstream-node-id=1"])
    assert (run.rc, run.recap[HOST]["changed"]) == (0, 1), run.output
    assert upstream.sql(RECORD, db="repmgr") == "standby|t|1"
    upstream.stays(**extra)

    # A record that somebody has switched off is not overwritten unasked.
    upstream.sql("UPDATE repmgr.nodes SET active = false WHERE node_id = 2", db="repmgr")
    upstream.assert_same()
    run = upstream.play(**extra)
    assert run.rc == 2, run.output
    assert "node 2 is already registered" in run.output, run.output
    assert upstream.sql(RECORD, db="repmgr") == "standby|f|1"
