"""The states that a host can be in, made for real, and what the play does about each: the same in check mode as then.

The states follow from each other as they would on a host that has a bad year. What is refused changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lab import Lab
from play import Playbook
from podman import Host
from standby_host import BINDIR, DATA, HOST
from story import UNIT, Story, errors, said

WITHOUT_SEGMENT = """\
set -eu
mkdir -p "$1/servers" "$1/incoming" "$1/streaming"
cp -al /var/lib/barman/pg/wals "$1/wals"
rm "$1"/wals/*/"$2"
sed "s|^configuration_files_directory.*|configuration_files_directory = $1/servers|" /etc/barman.conf >"$1/barman.conf"
cat /etc/barman.d/pg.conf - >"$1/servers/pg.conf" <<END
wals_directory = $1/wals
incoming_wals_directory = $1/incoming
streaming_wals_directory = $1/streaming
END
"""


# The first play of every story that begins with an empty host is this one as well.
@pytest.mark.long
def test_an_empty_host(story: Story, bare: None) -> None:
    run = story.becomes("clone")
    assert "about" in run.output


@pytest.mark.usefixtures("healthy")
class TestStandby:
    def test_a_healthy_one_without_barman(self, story: Story) -> None:
        with without_barman(story):
            run = story.play()
        assert (run.rc, run.recap[HOST]["changed"]) == (0, 0), run.output

    def test_a_stopped_one(self, story: Story) -> None:
        story.systemctl("stop")
        story.becomes("start")

    def test_a_stopped_one_without_barman(self, story: Story) -> None:
        story.systemctl("stop")
        with without_barman(story):
            run = story.play()
        assert (run.rc, said(run)) == (0, "start"), run.output

    @pytest.mark.long
    def test_a_wrong_upstream(self, story: Story) -> None:
        address = story.lab.primary.address
        story.host.run(
            ["sh", "-c", f"sed 's/^primary:/{address}:/' ~postgres/.pgpass >>~postgres/.pgpass.new"
             " && cat ~postgres/.pgpass.new >>~postgres/.pgpass && rm ~postgres/.pgpass.new"], user="postgres"
        )  # fmt: skip
        conninfo = {"host": address, "user": "replicator"}
        story.becomes("settings", upstream_conninfo=conninfo)
        story.does("settings")

    def test_an_upstream_that_is_down(self, story: Story) -> None:
        story.refuses("upstream_unreachable", upstream_conninfo={"host": "primary", "port": 1, "user": "replicator"})

    @pytest.mark.long
    def test_one_whose_wal_is_in_barman_only(self, story: Story) -> None:
        story.systemctl("stop")
        story.archive_and_forget()
        story.becomes("start")

    @pytest.mark.long
    def test_one_whose_wal_is_gone(self, story: Story) -> None:
        story.systemctl("stop")
        story.archive_and_forget()
        control = story.host.run([f"{BINDIR}/pg_controldata", DATA]).stdout
        # What is before that place it has kept itself.
        end = re.search(r"Minimum recovery ending location: +(\w+)/(\w+)", control)
        assert end is not None
        high, low = (int(part, 16) for part in end.groups())
        with archive_without(story.lab.barman, f"00000001{high:08X}{low >> 24:08X}") as config:
            story.refuses("wal_missing", config=config)
        story.does("start")


@contextmanager
def without_barman(story: Story) -> Iterator[None]:
    """Nobody answers on the Barman host, as seen from this one."""
    rule = ["OUTPUT", "-p", "tcp", "-d", story.lab.barman.address, "--dport", "22", "-j", "REJECT"]
    story.host.run(["iptables", "-A", *rule])
    try:
        yield
    finally:
        story.host.run(["iptables", "-D", *rule])


@contextmanager
def archive_without(barman: Host, segment: str) -> Iterator[str]:
    """A Barman configuration whose archive lacks the segment; the archive itself is also other hosts'."""
    view = f"/var/lib/barman/without-{HOST}"
    barman.run(["barman", "archive-wal", "pg"], user="barman")
    barman.run(["bash", "-c", WITHOUT_SEGMENT, "view", view, segment], user="barman")
    try:
        yield f"{view}/barman.conf"
    finally:
        barman.run(["rm", "-rf", view])


def test_the_upstreams_own_directory(lab: Lab, playbook: Playbook) -> None:
    started = lab.primary_sql("SELECT pg_postmaster_start_time()")
    options: dict[str, object] = {"data_directory": DATA, "service": UNIT, "host": "barman@barman", "server": "pg"}
    options.update(upstream_conninfo={"host": "primary", "user": "replicator"}, overwrite="always")
    for arguments in (("--check",), ()):
        run = playbook.run("--extra-vars=standby_from_barman_hosts=primary", *arguments, **options)
        assert run.rc != 0
        assert "primary_running" in errors(run), run.output
        assert run.recap["primary"]["changed"] == 0
    assert lab.primary_sql("SELECT pg_postmaster_start_time()") == started
