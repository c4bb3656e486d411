"""What of a start a real program tries without a cluster (``postgres --check``), where no whole one can be tried."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import rehearse, rehearse_in_part
from ansible_collections.pgfleet.standby.tests.servers.rehearsal_harms import HARMS, WITHOUT_CLUSTER, Files, Harm
from ansible_collections.pgfleet.standby.tests.servers.rehearsals import Host
from ansible_collections.pgfleet.standby.tests.servers.releases import programs_of

MAJORS = (15, 16, 17, 18)
SEEN = [
    pytest.param(harm, major, id=f"{harm.name}-{major}")
    for harm in HARMS
    if harm.name in WITHOUT_CLUSTER
    for major in harm.majors
    if major in MAJORS
]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # The user that servers run as may not come to the interpreter of the tests.
    monkeypatch.setattr(sys, "executable", shutil.which("python3", path="/usr/bin:/usr/local/bin"))
    made = Host(Path(tempfile.mkdtemp(prefix="pgfleet-")))
    monkeypatch.setattr(tempfile, "tempdir", str(made.base))
    yield made
    shutil.rmtree(made.top)


def test_the_table_names_harms_that_there_are() -> None:
    assert set(WITHOUT_CLUSTER) <= {harm.name for harm in HARMS}


@pytest.mark.parametrize(("harm", "major"), SEEN)
def test_it_is_told_in_the_servers_words(host: Host, harm: Harm, major: int) -> None:
    harm.files.write(host.backup, host.top)
    host.give()
    before = host.everything()
    [refusal] = host.rehearse(host.standby(major), rehearse_in_part).refusals
    assert refusal.code == "server_would_not_start"
    assert [word for word in harm.words if word not in refusal.found] == []
    assert str(host.base) not in refusal.found
    assert host.everything() == before


@pytest.mark.parametrize("major", MAJORS)
def test_of_a_healthy_configuration_it_says_what_it_has_not_seen(host: Host, major: int) -> None:
    Files().write(host.backup, host.top)
    host.give()
    before = host.everything()
    tried = host.rehearse(host.standby(major), rehearse_in_part)
    assert (tried.refusals, tried.warnings) == ((), ())
    assert ["only its settings, memory and io_uring" in reason for reason in tried.not_shown] == [True]
    assert host.everything() == before


def test_where_there_is_no_initdb_it_can_still_be_had(host: Host) -> None:
    Files("shared_buffers = 7TB\nhuge_pages = off\n").write(host.backup, host.top)
    programs = host.top / "bin"
    programs.mkdir()
    os.symlink(programs_of(18) / "postgres", programs / "postgres")
    host.give()
    standby = replace(host.standby(18), bindir=str(programs))
    with pytest.raises(StandbyError) as failed:
        host.rehearse(standby, rehearse)
    assert failed.value.code == "rehearsal_failed"
    [refusal] = host.rehearse(standby, rehearse_in_part).refusals
    assert "could not map anonymous" in refusal.found


def test_beside_a_server_that_works_memory_is_not_tried(host: Host) -> None:
    Files("shared_buffers = 7TB\n").write(host.backup, host.top)
    host.give()
    tried = host.rehearse(host.standby(18, beside_another=True), rehearse_in_part)
    assert tried.refusals == ()
    assert any("there is memory" in reason for reason in tried.not_shown)


def test_an_older_program_has_no_such_trial(host: Host) -> None:
    Files().write(host.backup, host.top)
    host.give()
    with pytest.raises(StandbyError) as failed:
        host.rehearse(host.standby(14), rehearse_in_part)
    assert failed.value.code == "rehearsal_failed"
