"""Podman and the hosts it runs: the one place of the lab that starts processes."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release import MAIN, Release

Completed = subprocess.CompletedProcess[str]

# What a command finds in a host; root's PATH for everybody, as in a container.
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
# Seconds after which what has not come will not come. A net, and never a measure: a busy machine needs a part of it.
BOUND = 600.0
_INITS: dict[str, int] = {}

# A cgroup v1 machine has no use for crun, and one without CAP_SYS_RESOURCE
# cannot raise the limits podman asks for.
PRIVATE_CONF = """\
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


class LabError(Exception):
    """Something a person can act on; its text is the whole message."""


def run(
    argv: Sequence[str],
    *,
    input: str | bytes | None = None,
    check: bool = True,
    timeout: float = BOUND,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command to its end; a failure carries the first lines of its stderr."""
    data = input.encode() if isinstance(input, str) else input
    stdin = subprocess.DEVNULL if data is None else None
    try:
        raw = subprocess.run(argv, input=data, stdin=stdin, capture_output=True, timeout=timeout, env=env, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: not installed (lab.py install)") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"no answer within {timeout:g} s: {shlex.join(argv)}") from None
    done = Completed(raw.args, raw.returncode, raw.stdout.decode(errors="replace"), raw.stderr.decode(errors="replace"))
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing said").splitlines()[:8]
        raise LabError("\n  ".join([f"rc {done.returncode}: {shlex.join(argv)}", *said]))
    return done


def wait_for(condition: Callable[[], bool], what: str, pause: float = 0.1) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {BOUND:g} s in vain for {what}")
        time.sleep(pause)


def is_init(pid: int) -> bool:
    """Whether a process of this machine is the first one of a container."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


@dataclass(frozen=True)
class Podman:
    """The podman command, with private settings once plain podman has failed."""

    conf: Path

    @property
    def env(self) -> dict[str, str]:
        private = {"CONTAINERS_CONF": str(self.conf)} if self.conf.exists() else {}
        return {**os.environ, **private}

    def __call__(
        self, *argv: str, input: str | bytes | None = None, check: bool = True, timeout: float = BOUND
    ) -> Completed:
        return run(["podman", *argv], input=input, check=check, timeout=timeout, env=self.env)

    def settle(self, image: str) -> None:
        """Keep podman's own settings where they start a container, else write ours."""
        if self.conf.exists() or self._starts(image):
            return
        self.conf.write_text(PRIVATE_CONF)
        if not self._starts(image):
            self.conf.unlink()
            self("run", "--rm", "--network", "none", image, "true")  # to say why

    def _starts(self, image: str) -> bool:
        return self("run", "--rm", "--network", "none", image, "true", check=False).returncode == 0


@dataclass(frozen=True)
class File:
    path: str
    text: str
    owner: str = "root"
    mode: int = 0o644

    def header(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.path.lstrip("/"))
        info.size, info.mode, info.mtime = len(self.text.encode()), self.mode, int(time.time())
        info.uname = info.gname = self.owner
        return info


@dataclass(frozen=True)
class Host:
    """One machine of the lab. The name is the one the others know it by."""

    name: str
    address: str
    podman: Podman
    release: Release = MAIN

    @property
    def container(self) -> str:
        return f"{self.release.lab}-{self.name}"

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        input: str | bytes | None = None,
        check: bool = True,
        timeout: float = BOUND,
    ) -> Completed:
        return run(self.command(argv, user), input=input, check=check, timeout=timeout, env=self.podman.env)

    def command(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """What runs a command in it, standard input and all."""
        if os.geteuid() != 0:
            return self.contained(argv, user)
        # The same in a twentieth of the time, but for the control groups; a test asks its host hundreds of questions.
        enter = ["nsenter", f"--target={self._init()}", "--all", "--"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env", "--"]
        return [*enter, *become, "env", "--chdir=/", *ENVIRONMENT, *argv]

    def contained(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """What runs a command in its control groups too: its share of the processors is counted, and is that of a host.

        It has none of a login's environment.
        """
        return ["podman", "exec", "--interactive", "--user", user, self.container, *argv]

    def _init(self) -> int:
        """The container's first process, as this machine counts. It is another one after a restart."""
        pid = _INITS.get(self.container, 0)
        if not is_init(pid):
            pid = int(self.podman("inspect", "--format", "{{.State.Pid}}", self.container).stdout)
            if not is_init(pid):
                raise LabError(f"{self.container} does not run (lab.py up)")
            _INITS[self.container] = pid
        return pid

    def read(self, path: str) -> str:
        return self.run(["cat", path]).stdout

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    def write(self, path: str, text: str, owner: str = "root", mode: int = 0o644) -> None:
        self.put([File(path, text, owner, mode)])

    def put(self, files: Iterable[File]) -> None:
        """Write many files in one go; their directories exist already."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for file in files:
                tar.addfile(file.header(), io.BytesIO(file.text.encode()))
        self.run(["tar", "--extract", "--directory", "/"], input=archive.getvalue())

    def wait_booted(self) -> None:
        wait_for(self._booted, f"{self.name} to boot")

    def _booted(self) -> bool:
        if not self.release.systemd:
            return self.run(["test", "-e", "/run/sshd.pid"], check=False).returncode == 0
        # --wait fails at once while systemd is not listening yet, and says "degraded" with rc 1.
        state = self.run(["systemctl", "is-system-running", "--wait"], check=False).stdout.strip()
        return state in ("running", "degraded")
