# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server's own parser is asked; its answers are tested with real servers."""

from __future__ import annotations

import os

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._postgres import programs as _programs

# Says what it was asked, as `postgres -C name` says a value.
POSTGRES = '#!/bin/sh\necho "$@"\n'


@pytest.fixture
def bindir(host):
    host.program("postgres", POSTGRES)
    return str(host.programs)


def test_server_version(bindir):
    assert _programs.server_version(bindir) == "--version"


def test_server_version_without_a_server(tmp_path):
    with pytest.raises(StandbyError, match="pg_bindir") as refused:
        _programs.server_version(str(tmp_path))
    assert refused.value.code == "postgresql_not_installed"


def test_effective_asks_for_every_setting_and_needs_no_other_file(bindir):
    found = _programs.effective(bindir, "/etc/pg/postgresql.conf", "/srv/pg", ["a", "b"])
    places = (
        "-c config_file=/etc/pg/postgresql.conf -c data_directory=/srv/pg -c hba_file=/dev/null -c ident_file=/dev/null"
    )
    assert found == {"a": f"-C a {places}", "b": f"-C b {places}"}


def test_effective_of_a_broken_configuration(host):
    host.program("postgres", "#!/bin/sh\necho 'LOG:  syntax error in file \"x\" line 1' >&2\nexit 1\n")
    with pytest.raises(StandbyError, match="syntax error") as refused:
        _programs.effective(str(host.programs), "/x", "/srv/pg", ["a"])
    assert refused.value.code == "configuration_invalid"


@pytest.mark.parametrize(
    ("script", "found"),
    [("echo /srv/pg", "/srv/pg"), ("echo", None), ("echo /srv/pg; exit 1", None)],
    ids=["named", "not named", "refused"],
)
def test_configured_data_directory(host, script, found):
    host.program("postgres", f"#!/bin/sh\n{script}\n")
    assert _programs.configured_data_directory(str(host.programs), "/x") == found


PG_BASEBACKUP = """\
#!/bin/sh
[ "$1" = --help ] || exit 99
echo '  -c, --checkpoint=fast|spread'
echo '      --no-manifest      suppress'
"""


class TestPgBasebackup:
    def test_that_knows_the_users_options_is_named(self, host):
        host.program("pg_basebackup", PG_BASEBACKUP)
        options = ["--checkpoint=fast", "--no-manifest"]
        assert _programs.require_pg_basebackup(str(host.programs), options) == f"{host.programs}/pg_basebackup"

    def test_of_another_release_is_refused(self, host):
        host.program("pg_basebackup", PG_BASEBACKUP)
        with pytest.raises(
            StandbyError, match=r"holds --manifest-checksums, which .*pg_basebackup does not"
        ) as refused:
            _programs.require_pg_basebackup(str(host.programs), ["--no-manifest", "--manifest-checksums=SHA256"])
        assert refused.value.code == "basebackup_option_refused"

    def test_that_is_missing_is_refused(self, tmp_path):
        with pytest.raises(StandbyError, match=f"no pg_basebackup in {tmp_path}") as refused:
            _programs.require_pg_basebackup(str(tmp_path), [])
        assert refused.value.code == "basebackup_missing"


class TestConfigured:
    @pytest.fixture
    def conf(self, tmp_path):
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d/10.conf").write_text("work_mem = 1MB\n", encoding="utf-8")
        conf = tmp_path / "postgresql.conf"
        conf.write_text("include_dir = 'conf.d'\nport = 5433\n", encoding="utf-8")
        return conf

    @pytest.fixture
    def closed(self, monkeypatch):
        """A file or directory of others; root may read everything."""

        def close(path):
            def refuse(real):
                def call(name, *given, **more):
                    if str(name) == str(path):
                        raise PermissionError(13, "Permission denied", str(name))
                    return real(name, *given, **more)

                return call

            monkeypatch.setattr("builtins.open", refuse(open))
            monkeypatch.setattr(_programs.os, "listdir", refuse(os.listdir))

        return close

    def test_is_what_the_file_and_its_includes_set(self, conf):
        assert _programs.configured(str(conf)) == {"work_mem": "1MB", "port": "5433"}

    def test_passes_over_a_directory_as_a_server_does(self, conf):
        (conf.parent / "conf.d/parked.conf").mkdir()
        assert _programs.configured(str(conf)) == {"work_mem": "1MB", "port": "5433"}

    @pytest.mark.parametrize("name", ["postgresql.conf", "conf.d/10.conf", "conf.d"])
    def test_of_what_cannot_be_read_is_refused_by_its_name(self, conf, closed, name):
        closed(conf.parent / name)
        with pytest.raises(StandbyError, match=f"{conf.parent / name}.*Permission denied") as refused:
            _programs.configured(str(conf))
        assert refused.value.code == "configuration_invalid"
