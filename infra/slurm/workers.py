"""A Dask scheduler here and its workers as Slurm jobs: python infra/slurm/workers.py --jobs 20 [--gpu] [--show].

By dask-jobqueue (`srcore[slurm]`).
"""

from __future__ import annotations

import argparse
import signal
import threading

from dask_jobqueue import SLURMCluster
from distributed.security import Security

from srcore.dispatch.cluster import ALLOCATOR, THREADS

NOBODY = "127.0.0.1:0"
"""Where Dask's pages of logs are shown, which have no TLS: on loopback, for without an address they are open to all."""
ALONE = ["--memory-limit", "0", "--no-dashboard", "--dashboard-address", NOBODY]


def cluster(options: argparse.Namespace) -> SLURMCluster:
    """One thread a process and no limit of Dask's own, as `srcore worker` has it; GPU=1 where a card is asked for."""
    processes = 1 if options.gpu else options.cores
    return SLURMCluster(
        queue=options.partition,
        cores=processes,
        processes=processes,
        job_cpu=options.cores,
        memory=f"{3 * options.cores}GB",
        walltime=options.walltime,
        protocol="tls://",
        security=Security(require_encryption=True),
        scheduler_options={"dashboard_address": NOBODY},
        worker_extra_args=[*ALONE, *(["--resources", "GPU=1"] if options.gpu else [])],
        job_extra_directives=["--gres=gpu:1"] if options.gpu else [],
        job_script_prologue=[f"export {name}={value}" for name, value in {**THREADS, **ALLOCATOR}.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--cores", type=int, default=8, help="of each job")
    parser.add_argument("--partition")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--gpu", action="store_true", help="one card and one process a job")
    parser.add_argument("--show", action="store_true", help="print the job's script and start none")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())  # the jobs are cancelled
    with cluster(options) as running:
        if options.show:
            print(running.job_script())
            return
        running.scale(jobs=options.jobs)
        print(f"{options.jobs} jobs for {running.scheduler_address}, until Ctrl-C", flush=True)
        stop.wait()
    print("stopped, and the jobs cancelled", flush=True)


if __name__ == "__main__":
    main()
