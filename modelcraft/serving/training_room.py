"""Which training makes room for a new one, when the app or an address has as many as it may."""

import time
from collections.abc import Sequence

from modelcraft.serving.training_job import Job, Status
from modelcraft.support.errors import BusyError

MAX_JOBS = 24  # kept at a time, whatever their state
AN_ADDRESS = (4, 12)  # per address (a whole class may share it): jobs that wait or run, and all jobs kept
OLD_S = 1800.0  # after this time a result may make room for another, however often it is looked at
SPARED_S = 10 * 60.0  # before that, only if nobody has looked at it for this time


def who_goes(jobs: Sequence[Job], owner: str, address: str) -> Job | None:
    """Return which of all `jobs` makes room for a new one of `owner` at `address`; None if there is room.

    A failed training goes first, then a model of the owner's own, then what somebody has besides, then what nobody has
    looked at for long. A training that waits keeps its place even if its page is closed, and a crowded address makes
    room for itself. Raises BusyError if none may go.
    """
    own = [job for job in jobs if job.address == address]
    crowded = address and len(own) >= AN_ADDRESS[1]
    if not crowded and len(jobs) < MAX_JOBS:
        return None
    now, shown = time.monotonic(), {job.owner: job for job in jobs}

    def may_go(job: Job) -> bool:
        if job.process is not None or job.status not in (Status.PAUSED, Status.DONE, Status.FAILED):
            return False
        done = job.status == Status.DONE
        besides = done and (job.owner == owner or (job is not shown[job.owner] and job.over_at < now - SPARED_S))
        return (
            job.status == Status.FAILED
            or besides
            or job.looked_at < now - SPARED_S
            or (done and job.over_at < now - OLD_S)
        )

    def rank(job: Job) -> tuple[bool, bool, bool, float]:
        since = job.number if job.owner == owner else job.looked_at
        return job.status != Status.FAILED, job.owner != owner, job is shown[job.owner], since

    idle = [job for job in (own if crowded else jobs) if may_go(job)]
    if not idle:
        raise BusyError(60)
    return min(idle, key=rank)
