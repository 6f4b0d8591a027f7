"""Runs a command twice: bench_run.py OUT COMMAND…

Prints wall-clock time and processor time in milliseconds, and the largest resident set in KB. What the command
prints goes to OUT. Fails when the command does. Time is that of the command itself; memory is read by GNU time
in a second run, because a process that Python starts begins its life with Python's own size, and that is what
the kernel would report.
"""

import resource
import subprocess
import sys
import tempfile
import time


def processor():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


out, command = sys.argv[1], sys.argv[2:]
with open(out, "wb") as file:
    before, start = processor(), time.perf_counter()
    subprocess.run(command, stdout=file, check=True)
    wall, used = time.perf_counter() - start, processor() - before
with tempfile.NamedTemporaryFile("r") as memory:
    timed = ["/usr/bin/time", "-f", "%M", "-o", memory.name, *command]
    subprocess.run(timed, stdout=subprocess.DEVNULL, check=True)
    print(f"{wall * 1000:.2f} {used * 1000:.2f} {memory.read().strip()}")
