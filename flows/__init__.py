"""WHEN and WHERE: Prefect flows, schedules and the command line. Touches no pixel."""

import os

WAITING = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait sleep: OpenBLAS and OpenMP let them spin, half the CPU of a small scene (decision 184)."""

# Here, above numpy and torch: both libraries read it once, when they are loaded.
for _name, _value in WAITING.items():
    os.environ.setdefault(_name, _value)
