# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test depends on how quick the machine is: it waits for a state, and a bound is a net that nobody comes near.

`tests/waiting.py` and `molecule/lab/podman.py` have what waits, `tests/lab/held.py` what holds a copy in the middle.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Seconds. Less is no net: a busy machine may need them.
ENOUGH = 300
# A program that is to be ended sleeps at least so long.
FOR_EVER = 100_000

NUMBER = r"(?P<seconds>\d[\d_.]*)"
# What a line may not hold, and why; where there is a number of seconds, unless it is large enough.
KINDS = {
    "sleeps in place of waiting": (re.compile(r"(?<!def )\bsleep\("), None),
    "sleeps in a shell, and is no loop that looks again": (
        re.compile(rf"^(?!.*\b(until|while)\b).*\bsleep {NUMBER}"),
        FOR_EVER,
    ),
    "gives up too early": (
        re.compile(rf"(\btimeout[=\s]|\btimeout: (float = )?|\btimeout\", \"|--(archive-|wait-)?timeout[= ]){NUMBER}"),
        ENOUGH,
    ),
    "gives up too early, or waits for no event": (re.compile(rf"\.(wait|join|take|result)\({NUMBER}\)"), ENOUGH),
    "wants something to be quick": (
        re.compile(r"(monotonic|perf_counter|time)\(\) - \w+ <|\bwithin \w+ seconds\b.*<"),
        None,
    ),
    "tries too few times": (re.compile(r"^\s*retries: (?P<seconds>\d+)"), ENOUGH),
}

OWN_CLOCK = "The test's own clock shows the seconds."
LOOKS_AGAIN = "It is a loop that looks again."
EXPIRES = "It is to be over before what it bounds, which would never end."
# Lines that hold one of these and depend on no machine: why.
ALLOWED = {
    ("tests/waiting.py", "time.sleep(0.005)"): LOOKS_AGAIN,
    ("molecule/lab/podman.py", "time.sleep(pause)"): LOOKS_AGAIN,
    ("tests/servers/servers.py", "time.sleep(0.02)"): LOOKS_AGAIN,
    ("tests/servers/servers.py", "time.sleep(0.01)"): LOOKS_AGAIN,
    ("tests/lab/methods/test_pg_basebackup.py", "time.sleep(0.002)"): LOOKS_AGAIN,
    (
        "molecule/lab/provision.py",
        "for pause in 1 2 3 4 5 6 7 8 9 10; do pgrep -u postgres >/dev/null || break; sleep 0.2; done",
    ): "What has not obeyed by then is killed, and waited for.",
    (
        "molecule/lab/image.py",
        'return podman("pull", "--quiet", image, check=False, timeout=20).returncode == 0',
    ): "A registry that is slower is not used: the image is made here.",
    (
        "tests/unit/plugins/module_utils/_commands/test_connection.py",
        'host.hook(f"mkdir {host.root}/opening || exit 255; sleep 0.02; rmdir {host.root}/opening")',
    ): "Nothing waits for it: two at once would meet each other the likelier.",
    (
        "tests/unit/plugins/module_utils/_commands/test_command.py",
        'LocalShell().run(["sleep", str(FOR_EVER)], timeout=0.05)',
    ): EXPIRES,
    (
        "tests/unit/plugins/module_utils/_commands/test_command.py",
        'list(self.stream("exec", "sleep", str(FOR_EVER), timeout=0.2))',
    ): EXPIRES,
    (
        "tests/unit/plugins/module_utils/_pgdata/test_lock.py",
        "assert (lock.take(), lock.take(0.1), lock.fd) == (False, False, -1)",
    ): EXPIRES,
    (
        "tests/unit/plugins/module_utils/_rewind/test_rewind.py",
        'assert rewinding.refused(timeout=0).code == "option_out_of_range"',
    ): "No time at all is refused.",
    (
        "tests/unit/plugins/module_utils/_commands/test_program_group.py",
        "assert (group.wait(0), group.wait(0.01), group.is_running()) == (None, None, True)",
    ): EXPIRES,
    (
        "tests/unit/plugins/module_utils/_server/test_prove.py",
        'def run(looks, awaited="ready", timeout=60, minimum=None, **step):',
    ): OWN_CLOCK,
    (
        "tests/unit/plugins/module_utils/_server/test_prove.py",
        'assert self.steps(clock, Looks(*map(at, range(0x101))), timeout=4)["ready"]',
    ): OWN_CLOCK,
    (
        "tests/servers/test_waiting.py",
        'ended = late.step(steps[-1]["waited"], timeout=0)',
    ): "Nothing comes until the test lets it.",
    ("tests/unit/plugins/module_utils/_server/test_prove.py", 'assert run(looks, timeout=1)["ready"]'): OWN_CLOCK,
    (
        "tests/unit/plugins/module_utils/_server/test_prove.py",
        'assert run(Looks(*replaying, at(0x100)), awaited, timeout=1)["ready"]',
    ): OWN_CLOCK,
    (
        "tests/unit/plugins/module_utils/_server/test_prove.py",
        'assert run(Looks(*receiving, at(0x100)), timeout=1)["ready"]',
    ): OWN_CLOCK,
    (
        "tests/unit/plugins/modules/test_standby_server.py",
        'result = ask("stopped", timeout=1, service=named(unit))',
    ): EXPIRES,
    ("tests/integration/targets/standby_server/tasks/main.yml", "timeout: 0"): "No time at all is refused.",
    ("tests/integration/targets/standby_server/tasks/main.yml", "says: [timeout=0]"): "No time at all is refused.",
    (
        "tests/copies/transfer/test_rsync_pull.py",
        '({"io_timeout": 7}, 2, "--timeout=7"),',
    ): "An option that is passed on to a program that has nothing to do.",
}


def scanned():
    """Text files of the tests and of their lab; recorded answers of programs, and what ansible-test leaves, are not."""
    for top in ("tests", "molecule"):
        for path in sorted((ROOT / top).rglob("*")):
            name = str(path.relative_to(ROOT))
            if name.startswith("tests/output/") or "/fixtures/" in name or name == THIS:
                continue
            if path.suffix in (".py", ".sh", ".yml", ".j2"):
                yield name, path.read_text(encoding="utf-8")


THIS = "tests/unit/test_waits.py"


def findings():
    for name, text in scanned():
        for number, line in enumerate(text.splitlines(), 1):
            for kind, (pattern, enough) in KINDS.items():
                found = pattern.search(line)
                if found and (enough is None or float(found["seconds"].replace("_", "").rstrip(".")) < enough):
                    yield name, number, line.strip(), kind


def test_no_test_depends_on_how_quick_the_machine_is():
    wrong = [f"{n}:{number} {kind}: {line}" for n, number, line, kind in findings() if (n, line) not in ALLOWED]
    assert wrong == []


def test_nothing_is_allowed_that_is_not_there():
    assert set(ALLOWED) - {(name, line) for name, _number, line, _kind in findings()} == set()
