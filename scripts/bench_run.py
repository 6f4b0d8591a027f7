"""Runs a command several times: bench_run.py ROUNDS OUT COMMAND…

Prints the shortest wall-clock time in milliseconds and the largest resident set in KB. What the command prints
goes to OUT. Fails when the command does. The memory is read by GNU time, because a process that Python starts
begins its life with Python's own size, and that is what the kernel would report.
"""

import subprocess
import sys
import tempfile
import time

rounds, out, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
best, most = float("inf"), 0
with tempfile.NamedTemporaryFile("r") as memory:
    for _ in range(rounds):
        with open(out, "wb") as file:
            start = time.perf_counter()
            subprocess.run(["/usr/bin/time", "-f", "%M", "-o", memory.name, *command], stdout=file, check=True)
            best = min(best, time.perf_counter() - start)
        memory.seek(0)
        most = max(most, int(memory.read()))
print(f"{best * 1000:.2f} {most}")
