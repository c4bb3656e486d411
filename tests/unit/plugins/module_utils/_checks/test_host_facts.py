# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host as it is, and made-up programs where a test is about what they print."""

from __future__ import annotations

import locale
import os
import time
from pathlib import Path

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._checks import host_facts as _host_facts
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.command import Completed, Shell
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import Refusal, StandbyError


def program(directory, name, text):
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Far(Shell):
    """A far end that has one answer."""

    where = "far"

    def __init__(self, rc, out):
        self.rc, self.out = rc, out

    def run(self, argv, **_bound):
        if self.rc is None:
            raise StandbyError(Refusal("ssh_timeout", "no answer", "run again"))
        return Completed(tuple(argv), self.rc, self.out() if callable(self.out) else self.out, "")


class TestClock:
    @pytest.mark.parametrize("ending", [".123456789\n", "\n", ".%N\n", ".N\n"])
    def test_of_another_host(self, ending):
        seen = _host_facts.clock(Far(0, lambda: f"{int(time.time()) + 60}{ending}"))
        assert seen.offset == pytest.approx(60, abs=1.1)
        assert 0 <= seen.round_trip < 1

    @pytest.mark.parametrize(
        ("rc", "out"), [(0, ""), (0, "Sat Nov 21"), (1, "1"), (None, "")], ids=["empty", "words", "failed", "no answer"]
    )
    def test_that_is_not_told(self, rc, out):
        assert _host_facts.clock(Far(rc, out)) is None


class TestSorting:
    @pytest.mark.parametrize("answer", [None, "", "other 1.2", ValueError("unrecognized"), OSError("no")])
    def test_another_libc(self, monkeypatch, answer):
        def confstr(_name):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(_host_facts.os, "confstr", confstr)
        assert _host_facts.collation_versions("/nowhere", [("c", "de_DE.utf8")]) == {("c", "de_DE.utf8"): None}

    def test_versions_by_provider(self, tmp_path):
        program(tmp_path / "bin", "postgres", "#!/bin/sh\n")
        seen = _host_facts.collation_versions(
            str(tmp_path / "bin"), [("c", "de_DE.utf8"), ("i", "de"), ("c", "de_DE.utf8")]
        )
        libc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
        assert seen == {("c", "de_DE.utf8"): libc, ("i", "de"): None}

    @pytest.mark.parametrize(
        "printed",
        ["\tlibicui18n.so.1 => /nonexistent/libicui18n.so.1 (0x0)", "\tlibicui18n.so.1 => not found", "no program"],
    )
    def test_icu_that_cannot_be_loaded(self, tmp_path, monkeypatch, printed):
        program(tmp_path / "path", "ldd", f"#!/bin/sh\necho '{printed}'\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
        assert _host_facts.collation_versions("/usr/bin", [("i", "de")]) == {("i", "de"): None}

    def test_icu_with_other_names(self, tmp_path, monkeypatch):
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        libc = next(line.split()[-1] for line in maps.splitlines() if "libc.so.6" in line)
        program(tmp_path / "path", "ldd", f"#!/bin/sh\necho 'libicui18n.so.1 => {libc} (0x0)'\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
        assert _host_facts.collation_versions("/usr/bin", [("i", "de")]) == {("i", "de"): None}

    def test_locales(self):
        before = locale.setlocale(locale.LC_ALL)
        assert _host_facts.missing_locales(["C", "POSIX", "xx_XX.UTF-8", "üñí", "C"]) == {"xx_XX.UTF-8", "üñí"}
        assert locale.setlocale(locale.LC_ALL) == before


class TestPrograms:
    def test_block_sizes(self, tmp_path):
        program(
            tmp_path / "bin", "postgres", "#!/bin/sh\ncase $2 in segment_size) echo 131072 ;; *) echo 8192 ;; esac\n"
        )
        assert _host_facts.compiled_block_sizes(str(tmp_path / "bin")) == {
            "block_size": 8192,
            "segment_size": 131072,
            "wal_block_size": 8192,
        }

    def test_block_sizes_of_programs_that_do_not_run(self, tmp_path):
        with pytest.raises(StandbyError):
            _host_facts.compiled_block_sizes(str(tmp_path))

    def test_machine(self):
        assert _host_facts.machine() == os.uname().machine


class TestLibraries:
    @pytest.fixture
    def server(self, tmp_path):
        for directory in ("bin", "lib", "lib64/pgsql", "told"):
            (tmp_path / directory).mkdir(parents=True)
        return tmp_path

    @pytest.mark.parametrize("place", ["lib", "lib64/pgsql"])
    def test_are_beside_the_programs(self, server, place):
        (server / place / "libpqwalreceiver.so").touch()
        assert _host_facts.library_directory(str(server / "bin")) == str(server / place)

    def test_are_where_pg_config_says(self, server):
        for place in ("lib", "told"):
            (server / place / "libpqwalreceiver.so").touch()
        program(server / "bin", "pg_config", f'#!/bin/sh\n[ "$1" = --pkglibdir ] && echo {server}/told\n')
        assert _host_facts.library_directory(str(server / "bin")) == str(server / "told")

    def test_are_found_though_pg_config_fails(self, server):
        (server / "lib/libpqwalreceiver.so").touch()
        program(server / "bin", "pg_config", "#!/bin/sh\necho /etc\nexit 1\n")
        assert _host_facts.library_directory(str(server / "bin")) == str(server / "lib")

    def test_are_nowhere(self, server):
        assert _host_facts.library_directory(str(server / "bin")) is None

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("a", True),
            ("a.so", True),
            ("$libdir/a", True),
            ("$libdir/plugins/b.so", True),
            ("{}/lib/a", True),
            ("{}/lib/a.so", True),
            ("b", False),
            ("plugins", False),
            ("a.s", False),
            ("$libdir/b", False),
            ("plugins/b", False),
            ("{}/a.so", False),
        ],
    )
    def test_by_name(self, server, name, found):
        (server / "lib/a.so").touch()
        (server / "lib/plugins").mkdir()
        (server / "lib/plugins/b.so").touch()
        name = name.format(server)
        assert _host_facts.missing_libraries(str(server / "lib"), [name]) == ([] if found else [name])

    def test_by_a_search_path(self, server):
        (server / "told/c.so").touch()
        assert _host_facts.missing_libraries(str(server / "lib"), ["c"], f"$libdir:{server}/told") == []


class TestPlaces:
    def test_that_exist(self, tmp_path):
        (tmp_path / "pg").mkdir(mode=0o700)
        [place] = _host_facts.places({"data_directory": f"{tmp_path}/pg/"})
        assert (place.role, place.path, place.existing) == ("data_directory", f"{tmp_path}/pg", f"{tmp_path}/pg")
        assert (place.exists, place.ours, place.mode, place.writable, place.read_only) == (
            True,
            True,
            0o700,
            True,
            False,
        )
        assert place.user == place.owner

    def test_that_will_be_made(self, tmp_path):
        tmp_path.chmod(0o711)
        [place] = _host_facts.places({"waldir": f"{tmp_path}/not/yet"})
        assert (place.path, place.existing, place.exists, place.mode) == (
            f"{tmp_path}/not/yet",
            str(tmp_path),
            False,
            0o711,
        )

    def test_behind_a_link_that_leads_nowhere(self, tmp_path):
        (tmp_path / "pg").symlink_to("/nonexistent/pg")
        [place] = _host_facts.places({"data_directory": f"{tmp_path}/pg"})
        assert place.existing == str(tmp_path)

    def test_of_somebody_who_has_no_name(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_host_facts.pwd, "getpwuid", {}.__getitem__)
        [place] = _host_facts.places({"waldir": str(tmp_path)})
        assert place.owner == str(os.geteuid())

    def test_that_cannot_be_written(self, tmp_path, monkeypatch):
        """root may write everywhere, so the answer of the system is given."""
        asked = []
        monkeypatch.setattr(_host_facts.os, "access", lambda path, mode, **how: asked.append((path, mode)))
        [place] = _host_facts.places({"waldir": f"{tmp_path}/wal"})
        assert (place.writable, asked) == (None, [(str(tmp_path), os.W_OK | os.X_OK)])

    def test_of_a_file_system_that_is_only_read(self, tmp_path, monkeypatch):
        class Status:
            f_flag = os.ST_RDONLY

        monkeypatch.setattr(_host_facts.os, "statvfs", lambda _path: Status)
        [place] = _host_facts.places({"waldir": str(tmp_path)})
        assert place.read_only

    @pytest.mark.parametrize(
        ("label", "kind"),
        [(b"system_u:object_r:postgresql_db_t:s0\0", "postgresql_db_t"), (b"odd", None), (OSError("none"), None)],
    )
    def test_labels(self, tmp_path, monkeypatch, label, kind):
        def getxattr(_path, name):
            assert name == "security.selinux"
            if isinstance(label, Exception):
                raise label
            return label

        monkeypatch.setattr(_host_facts.os, "getxattr", getxattr)
        [place] = _host_facts.places({"waldir": str(tmp_path)})
        assert place.selinux_type == kind

    @pytest.mark.parametrize(("text", "expected"), [("1", True), ("1\n", True), ("0", False), (None, False)])
    def test_selinux(self, monkeypatch, text, expected):
        monkeypatch.setattr(_host_facts, "read_small", {"/sys/fs/selinux/enforce": text}.get)
        assert _host_facts.selinux_enforcing() is expected

    @pytest.mark.parametrize(("total", "free", "expected"), [(100, 7, 7), (100, 0, 0), (0, 0, None)])
    def test_inodes(self, monkeypatch, total, free, expected):
        class Status:
            f_files, f_favail = total, free

        monkeypatch.setattr(_host_facts.os, "statvfs", lambda _path: Status)
        assert _host_facts.free_inodes("/srv") == expected
