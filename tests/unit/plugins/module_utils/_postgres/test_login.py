# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import os
import pwd

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import login as _login
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres.login import login_of

LINE = "primary:5432:replication:replicator:Geh3im\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    me = pwd.getpwuid(os.geteuid())
    entry = pwd.struct_passwd((*me[:5], str(tmp_path), me[6]))
    monkeypatch.setattr(_login.pwd, "getpwuid", lambda uid: entry)
    return tmp_path


def login(**options):
    given = {"upstream_conninfo": {"host": "primary", "user": "replicator", "dbname": "app"}}
    return login_of({**given, **options}, "n1")


KEYWORDS = {"host": "primary", "user": "replicator", "application_name": "n1"}


def test_without_a_password_nothing_is_kept(home):
    found = login()
    assert (found.keywords, found.conninfo, found.passfile) == (KEYWORDS, KEYWORDS, None)


def test_the_database_is_kept_for_the_synchronisation_of_slots():
    assert login(settings={"sync_replication_slots": True}).conninfo["dbname"] == "app"
    assert "dbname" not in login(settings={"sync_replication_slots": "off"}).conninfo


def test_a_password_goes_into_the_file_of_the_home(home):
    found = login(upstream_password="Geh3im")
    path = f"{home}/.pgpass"
    assert found.keywords == {**KEYWORDS, "password": "Geh3im"}
    assert found.conninfo == {**KEYWORDS, "passfile": path}
    found.passfile.write()
    assert (home / ".pgpass").read_text() == LINE
    assert (home / ".pgpass").stat().st_mode & 0o777 == 0o600
    assert login(upstream_password="Geh3im").passfile.text is None


def test_two_standbys_of_one_host_both_find_their_line(home):
    """Both have looked at the file before either writes it, as when a play gives both their passwords at once."""
    first, second = (login(upstream_conninfo={"host": host, "user": "u"}, upstream_password="x") for host in "ab")
    first.passfile.write()
    second.passfile.write()
    assert (home / ".pgpass").read_text() == "a:5432:replication:u:x\nb:5432:replication:u:x\n"


def test_a_file_is_written_by_one_at_a_time(home, monkeypatch):
    """Between its reading and its replacement nobody else reads it."""
    seen = []
    write = _login.write_atomically

    def looked_at(path, text):
        handle = os.open(home, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        seen.append(path)
        write(path, text)

    monkeypatch.setattr(_login, "write_atomically", looked_at)
    login(upstream_password="x").passfile.write()
    assert seen == [f"{home}/.pgpass"]


def test_a_password_is_in_no_text_of_what_holds_it(home):
    assert "Geh3im" not in repr(login(upstream_password="Geh3im").passfile)


def test_a_file_that_others_may_read_is_closed(home):
    # libpq ignores it as it is.
    (home / ".pgpass").write_text(LINE)
    (home / ".pgpass").chmod(0o644)
    login(upstream_password="Geh3im").passfile.write()
    assert (home / ".pgpass").stat().st_mode & 0o777 == 0o600


def test_a_file_may_be_named(tmp_path):
    path = str(tmp_path / "here")
    assert login(passfile=path).conninfo == {**KEYWORDS, "passfile": path}
    assert login(passfile=path).passfile is None
    assert login(passfile=path, upstream_password="Geh3im").passfile.path == path
    with pytest.raises(StandbyError) as refused:
        login(passfile="here")
    assert refused.value.code == "path_dangerous"


def test_a_password_may_be_in_the_conninfo():
    found = login(upstream_password="Geh3im", use_primary_conninfo_password=True)
    assert found.conninfo == found.keywords == {**KEYWORDS, "password": "Geh3im"}
    assert found.passfile is None
