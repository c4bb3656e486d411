"""What a real upstream tells of its configuration, rehearsed before pg_basebackup copies it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.facts import ClusterFiles
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.upstream_facts import files
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.carried import bring_settings
from ansible_collections.pgfleet.standby.plugins.module_utils._rehearsal.rehearse import Rehearsed
from ansible_collections.pgfleet.standby.tests.servers.controlled import may_run_python
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.rehearsals import Host
from ansible_collections.pgfleet.standby.tests.servers.servers import Server

MAJORS = (pytest.param(10, marks=pytest.mark.long), 18)


@pytest.fixture(params=MAJORS)
def upstream(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Server]:
    server = fleet.primary(request.param)
    server.sql("CREATE ROLE streams LOGIN REPLICATION")
    server.sql("CREATE ROLE watches LOGIN REPLICATION")
    server.sql("GRANT pg_read_all_settings TO watches")
    yield server
    server.sql("DROP ROLE streams, watches")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    may_run_python(monkeypatch)
    made = Host(Path(tempfile.mkdtemp(prefix="pgfleet-")))
    made.give()
    monkeypatch.setattr(tempfile, "tempdir", str(made.base))
    yield made
    shutil.rmtree(made.top)


def told(upstream: Server, role: str) -> ClusterFiles:
    answer = files({**upstream.conninfo, "user": role})
    assert isinstance(answer, ClusterFiles)
    return answer


def rehearsed(host: Host, upstream: Server, answer: ClusterFiles, **changed: str) -> Rehearsed:
    bring = partial(bring_settings, {**answer.settings, **changed})
    return host.rehearse(host.standby(upstream.major, bring=bring, segment_size=1 << 20))


@pytest.mark.parametrize("role", ["streams", "watches"])
def test_what_it_tells_starts(host: Host, upstream: Server, role: str) -> None:
    answer = told(upstream, role)
    assert (answer.settings["max_prepared_transactions"], answer.settings["fsync"]) == ("5", "off")
    assert rehearsed(host, upstream, answer).refusals == ()


def test_where_its_configuration_is_only_some_roles_may_know(upstream: Server) -> None:
    assert told(upstream, "streams").config_file is None
    answer = told(upstream, "watches")
    assert answer.config_file == f"{upstream.data}/postgresql.conf"
    assert answer.configuration_elsewhere is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"listen_addresses": "203.0.113.7"}, "203.0.113.7"),
        ({"shared_buffers": str(7 << 27)}, "could not map anonymous shared memory"),
        ({"shared_preload_libraries": "no_such_library"}, "no_such_library"),
    ],
    ids=["an address", "memory", "a library"],
)
def test_what_this_host_lacks_is_told_before_the_copy(
    host: Host, upstream: Server, changed: dict[str, str], words: str
) -> None:
    [refusal] = rehearsed(host, upstream, told(upstream, "watches"), **changed).refusals
    assert words in refusal.found
