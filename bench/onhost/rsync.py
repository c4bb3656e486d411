"""rsync, but the files that do not exist are made here, empty. For run.py --work memory."""

import os
import subprocess
import sys

MADE_UP = b"./base/5/1"
target = os.fsencode(sys.argv[-1])
names = sys.stdin.buffer.read().split(b"\0")[:-1] if "--files-from=-" in sys.argv else []
real = []
for name in names:
    if name.startswith(MADE_UP) and len(name) == len(MADE_UP) + 9:
        path = os.path.join(target, name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.utime(path, (1700000000, 1700000000))
    else:
        real.append(name)
if real or not names:
    given = b"".join(name + b"\0" for name in real) if names else None
    sys.exit(subprocess.run(["/usr/bin/rsync", *sys.argv[1:]], input=given, check=False).returncode)
