# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two ends can do. The far end has its programs in a directory of its own."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from ansible_collections.pgfleet.standby.plugins.module_utils._commands.barman_host import BarmanHost
from ansible_collections.pgfleet.standby.plugins.module_utils._errors import StandbyError
from ansible_collections.pgfleet.standby.plugins.module_utils._transfer.capabilities import cipher_options, probe

CHACHA, CTR, GCM = "chacha20-poly1305@openssh.com", "aes256-ctr", "aes256-gcm@openssh.com"

RSYNC = """#!/bin/sh
[ "$1" = --version ] || exit 9
printf 'rsync  version 3.5.0  protocol version 32\\n{}'
"""
LIST = r"Compress list:\n    {}\n"
# Runs the program that comes after the options, as the real ones do.
WRAPPER = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift 2; done
exec "$@"
"""


@pytest.fixture
def far(host):
    """Gives the far end these programs and no others."""
    (host.root / "far").mkdir()
    host.hook(f"PATH={host.root}/far")

    def install(*names, compressions="zstd lz4 zlib none"):
        for name in names:
            text = RSYNC.format(LIST.format(compressions) if compressions else "") if name == "rsync" else WRAPPER
            host.program(f"../far/{name}", text)
        # What the shell that ssh runs there is, and what its scripts begin with, is found by a path of its own.
        host.program("../far/sh", '#!/bin/sh\nexec /bin/sh "$@"\n')

    return install


def here(host, compressions):
    host.program("rsync", RSYNC.format(LIST.format(compressions) if compressions else ""))


class TestProbe:
    @pytest.mark.parametrize(
        ("programs", "command"),
        [
            pytest.param(("ionice", "nice", "rsync"), "ionice -c 2 -n 7 nice -n 5 rsync", id="both"),
            pytest.param(("nice", "rsync"), "nice -n 5 rsync", id="no ionice"),
            pytest.param(("ionice", "rsync"), "rsync", id="no nice"),
            pytest.param(("rsync",), "rsync", id="neither"),
        ],
    )
    def test_rsync_gives_way_at_the_far_end_by_what_there_is(self, host, far, programs, command):
        far(*programs)
        assert probe(host.source, "auto").rsync == command

    def test_rsync_gives_way_though_it_may_not_ask_for_all(self, host, far):
        far("ionice", "nice", "rsync")
        host.program("../far/ionice", "#!/bin/sh\necho 'ionice: ioprio_set failed' >&2\nexit 1\n")
        assert probe(host.source, "auto").rsync == "nice -n 5 rsync"

    @pytest.mark.parametrize(
        ("near", "distant", "usable"),
        [
            ("zstd lz4 none", "zstd lz4 zlib none", ("lz4", "none", "zstd")),
            ("zstd lz4 none", "zlib none", ("none",)),
            ("", "zstd lz4 none", ("none",)),
            ("zstd lz4 none", "", ("none",)),
        ],
        ids=["both have them", "not at the far end", "an old one here", "an old one at the far end"],
    )
    def test_compressions_are_those_of_both_ends(self, host, far, near, distant, usable):
        here(host, near)
        far("rsync", compressions=distant)
        assert probe(host.source, "auto").compressions == usable

    def test_a_compression_that_was_asked_for_is_the_only_one(self, host, far):
        here(host, "zstd lz4 none")
        far("rsync")
        assert probe(host.source, "zstd").compressions == ("zstd",)

    def test_a_compression_that_one_end_lacks_is_refused(self, host, far):
        here(host, "lz4 none")
        far("rsync")
        with pytest.raises(StandbyError, match="compress=zstd") as refused:
            probe(host.source, "zstd")
        assert refused.value.code == "compress_unsupported"

    def test_a_far_end_without_rsync_is_refused(self, host, far):
        far("ionice", "nice")
        with pytest.raises(
            StandbyError, match=r"rsync does not run on barman@backup-host \(exit code 127\)"
        ) as refused:
            probe(host.source, "auto")
        assert refused.value.code == "rsync_missing_remote"

    def test_a_far_end_that_cannot_be_reached_is_asked_once(self, host):
        host.hook("echo 'ssh: connect to host backup-host port 22: Connection refused' >&2; exit 255")
        with pytest.raises(StandbyError) as refused:
            probe(host.source, "auto")
        assert (refused.value.code, len(host.calls())) == ("ssh_refused", 1)

    def test_the_real_rsync_can_all(self, host):
        found = probe(host.source, "auto")
        assert found.compressions == ("lz4", "none", "zstd")
        assert (
            subprocess.run([*shlex.split(found.rsync), "--version"], capture_output=True, check=False).returncode == 0
        )


SSH_G = """#!/bin/sh
case " $* " in
*" -F none "*) echo "ciphers {default}" ;;
*) printf '%s\\n' "$@" >{argv}; echo "ciphers {effective}" ;;
esac
"""


class TestCipherOptions:
    @pytest.fixture
    def ssh(self, host):
        def answers(effective, default=f"{CHACHA},{CTR},{GCM}"):
            host.program("ssh", SSH_G.format(effective=effective, default=default, argv=host.root / "asked"))

        return answers

    def test_put_the_fast_one_first_when_nobody_has_an_opinion(self, ssh):
        ssh(f"{CHACHA},{CTR},{GCM}")
        assert cipher_options(BarmanHost("backup")) == ("-o", f"Ciphers={GCM},{CHACHA},{CTR}")

    @pytest.mark.parametrize(
        "effective", [f"{CTR},{GCM}", CHACHA, ""], ids=["another order", "one", "it does not tell"]
    )
    def test_leave_a_choice_that_was_made(self, ssh, effective):
        ssh(effective)
        assert cipher_options(BarmanHost("backup")) == ()

    def test_name_no_cipher_that_this_host_forbids(self, ssh):
        ssh(f"{CHACHA},{CTR}", f"{CHACHA},{CTR}")
        assert cipher_options(BarmanHost("backup")) == ()

    def test_are_asked_of_the_users_own_configuration_of_that_host(self, host, ssh):
        ssh(CHACHA)
        cipher_options(BarmanHost("barman@backup", ("-p", "2222")))
        asked = (host.root / "asked").read_text(encoding="utf-8").split("\n")
        assert asked[-5:-1] == ["-p", "2222", "--", "barman@backup"]

    def test_are_ciphers_that_the_real_ssh_takes(self, monkeypatch):
        options = cipher_options(BarmanHost("backup"))
        assert options
        done = subprocess.run(
            ["ssh", *options, "-F", "none", "-G", "backup"], capture_output=True, encoding="utf-8", check=True
        )
        assert f"ciphers {options[1].partition('=')[2]}\n" in done.stdout
