"""ssh, but a listing of a backup has BENCH_ENTRIES more files than there are. For run.py --work memory."""

import os
import subprocess
import sys

PORTION = 10_000
rc = subprocess.run(["/usr/bin/ssh", *sys.argv[1:]], check=False).returncode
if rc == 0 and "-printf" in sys.argv[-1]:
    for start in range(10**9, 10**9 + int(os.environ["BENCH_ENTRIES"]), PORTION):
        portion = range(start, start + PORTION)
        sys.stdout.write("".join(f"f 600 0 1700000000.0000000000 data/base/5/{name}\0" for name in portion))
sys.exit(rc)
