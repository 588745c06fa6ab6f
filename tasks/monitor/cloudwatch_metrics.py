"""The figures of a run as CloudWatch metrics: what AWS itself does not measure, for the dashboard.

Seven metrics an app, sent while the run is watched and `create_dashboard` is on. CloudWatch counts
a custom metric by the hours in which it gets values ("Amazon CloudWatch pricing").
"""

import logging
from functools import lru_cache

from tasks.aws.errors import AwsError
from tasks.monitor.observation import Observation
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

NAMESPACE = "DCP"
DIMENSION = "App"
JOBS = {
    "done": "JobsDone",
    "running": "JobsRunning",
    "waiting": "JobsWaiting",
    "failed": "JobsFailed",
}
SECONDS = "SecondsPerJob"
SPENT = "Spent"
MACHINES = "Machines"


def values(seen: Observation, seconds: float | None) -> dict[str, tuple[float, str]]:
    """The values and units of a look (pure); what is not known is left out.

    Args:
        seen: What was seen.
        seconds: What a job takes; None when that is not known.
    """
    found = {JOBS[name]: (float(number), "Count") for name, number in seen.counts().items()}
    found[MACHINES] = (float(len(seen.machines)), "Count")
    if seconds is not None:
        found[SECONDS] = (seconds, "Seconds")
    if seen.spend.usd is not None:
        found[SPENT] = (seen.spend.usd, "None")
    return found


def publish(run: Run, seen: Observation, seconds: float | None) -> None:
    """Send the figures of a look: one request, and none without a dashboard.

    That they cannot be sent is told once, and is in the way of nothing.

    Args:
        run: The run.
        seen: What was seen.
        seconds: What a job takes.
    """
    if not run.config.create_dashboard:
        return
    try:
        run.aws.cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": DIMENSION, "Value": run.names.app}],
                    "Timestamp": seen.at,
                    "Value": value,
                    "Unit": unit,  # type: ignore[typeddict-item] # one of CloudWatch's
                }
                for name, (value, unit) in values(seen, seconds).items()
            ],
        )
    except AwsError as error:
        _warn(run.run_id, type(error).__name__, str(error))


@lru_cache(maxsize=64)
def _warn(_: str, __: str, text: str) -> None:
    logger.warning("The dashboard lacks the figures of the run: %s", text)
