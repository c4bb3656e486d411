"""What real servers say of their failures, and what the collection makes of it: each is provoked here.

The oldest, a middle and the newest major version. Their words were recorded for the unit tests.
"""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._server.last_words import LastWords, last_words
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_files import (
    LogPlaces,
    ServerLog,
    words_of_last_start,
)
from ansible_collections.pgfleet.standby.plugins.module_utils._server.log_lines import of_stderr
from ansible_collections.pgfleet.standby.tests.servers.fleet import Fleet
from ansible_collections.pgfleet.standby.tests.servers.provocations import Ground, causes, provoked
from ansible_collections.pgfleet.standby.tests.servers.servers import Server
from ansible_collections.pgfleet.standby.tests.waiting import wait_until

VERSIONS = (10, 15, 18)
# The words of 15 are mostly those of 18: they are for `make long`.
EACH = [
    pytest.param(major, cause, id=f"{major}, {cause}", marks=pytest.mark.long if major == 15 else ())
    for major in VERSIONS
    for cause in causes(major)
]


@pytest.fixture(scope="module")
def grounds(fleet: Fleet) -> dict[int, Ground]:
    return {major: Ground(fleet, major) for major in VERSIONS}


@pytest.mark.parametrize(("major", "cause"), EACH)
def test_its_words_tell_the_cause(grounds: dict[int, Ground], major: int, cause: str) -> None:
    with provoked(grounds[major], cause) as server:
        words = last_words(of_stderr(server.log.read_text(encoding="utf-8", errors="replace")))
    assert words.cause is not None, words.sentence
    assert words.cause.name == cause, words.sentence
    assert "a-secret-of-nobody" not in words.sentence


def places(server: Server) -> LogPlaces:
    return LogPlaces(str(server.data), str(server.top))


# The forms of a log, and the versions that know them.
FORMS = [
    (major, form) for major in VERSIONS for form in ("stderr", "csvlog", "jsonlog") if form != "jsonlog" or major > 14
]


@pytest.mark.parametrize(("major", "form"), FORMS)
def test_each_form_of_the_collectors_files(grounds: dict[int, Ground], major: int, form: str) -> None:
    ground = grounds[major]
    server = ground.copy(ground.base)
    for segment in (server.data / "pg_wal").iterdir():
        if segment.is_file():
            segment.unlink()
    server.edit("postgresql.conf", {"logging_collector": "on", "log_destination": form, "log_directory": "its_log"})
    told = []
    for _start in range(2):
        log = ServerLog(places(server))
        server.start(wait=False)
        wait_until(lambda: not server.running, "the end of the server")
        server.stop()
        wait_until(lambda: log.words().cause is not None, "what the collector writes at its end")  # noqa: B023
        told.append(log.words())
    assert [words.cause and words.cause.name for words in told] == ["checkpoint_missing"] * 2
    assert len(told[1].lines) == len(told[0].lines)  # of the second start alone


@pytest.mark.parametrize("major", VERSIONS)
def test_what_a_running_standby_says_of_its_upstream(grounds: dict[int, Ground], major: int) -> None:
    with provoked(grounds[major], "slot_missing") as server:
        words: LastWords = words_of_last_start(LogPlaces(str(server.data), os.devnull), server.pid)
    assert words.cause is not None
    assert words.cause.name == "slot_missing"
    assert any('replication slot "nosuch" does not exist' in line for line in words.lines)
