"""rsync, but the files that do not exist are made here, empty. For run.py --work memory."""

import os
import sys

MADE_UP = b"./base/5/1"
OPTION = "--files-from="
target = os.fsencode(sys.argv[-1])
listing = next((word[len(OPTION) :] for word in sys.argv if word.startswith(OPTION)), None)
names = open(listing, "rb").read().split(b"\0")[:-1] if listing else []  # noqa: SIM115 - ends at once
real = []
for name in names:
    if name.startswith(MADE_UP) and len(name) == len(MADE_UP) + 9:
        path = os.path.join(target, name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.utime(path, (1700000000, 1700000000))
    else:
        real.append(name)
if listing and real:
    with open(listing, "wb") as stream:
        stream.writelines(name + b"\0" for name in real)
if real or not names:
    os.execv("/usr/bin/rsync", sys.argv)
