"""Run a command and say the most memory that it or a program it started held at once, in KiB, as the last line."""

import resource
import subprocess
import sys

done = subprocess.run(sys.argv[1:], check=False)
print(f"\npeak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}")
sys.exit(done.returncode)
