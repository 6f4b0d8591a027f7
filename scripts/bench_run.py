"""Runs a command several times: bench_run.py ROUNDS OUT COMMAND…

Prints the shortest wall-clock time in milliseconds and the largest resident set in KB, of the command and all
it started, as the kernel counts them. What the command prints goes to OUT. Fails when the command does.
"""

import resource
import subprocess
import sys
import time

rounds, out, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
best = float("inf")
for _ in range(rounds):
    with open(out, "wb") as file:
        start = time.perf_counter()
        subprocess.run(command, stdout=file, check=True)
        best = min(best, time.perf_counter() - start)
print(f"{best * 1000:.2f} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}")
