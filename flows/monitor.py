"""Monitoring: looks at the run until it is over, and keeps the fleet as small as the work."""

from typing import Any

from prefect import flow

from flows.logger import log
from tasks import interrupt, watch
from tasks.aws import patient
from tasks.monitor import tick
from tasks.observe import Followed
from tasks.opening import open_existing
from tasks.policy import Decision
from tasks.results import job_ids
from tasks.telling import counts, told

OUTAGE_SECONDS = 1800  # AWS may be out of reach for so long before the monitor gives up


@flow(name="dcp-monitor")
def monitor(
    config: str,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Decision:
    """Watch a run until every job has a result, or until it cannot go on.

    Args:
        config: Run config: block name, local path or s3:// path.
        run_id: Run to watch; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        The last decision: that the run is over, and why if jobs have no result.
    """
    run = open_existing(config, run_id, credentials, settings)
    jobs = Followed(job_ids(run))
    last: dict[str, int] = {}
    said, findings = "", set[str]()
    with watch.kept(run), told(run) as tell:
        while True:
            seen, decision = patient(OUTAGE_SECONDS)(tick, run, jobs)
            tell(seen)
            if counts(seen) != last:
                last = counts(seen)
                log(", ".join(f"{number} {name}" for name, number in last.items()))
            for finding in seen.findings:
                if finding.key not in findings:
                    findings.add(finding.key)
                    log(f"{finding.level}: {finding}")
            if not seen.running and seen.says != said:
                said = seen.says
                log(f"no container runs; ECS says: {said}")
            if decision.terminate:
                log(f"{len(decision.terminate)} machines without work are ended")
            if decision.done:
                return decision
            interrupt.sleep(decision.look_after)
