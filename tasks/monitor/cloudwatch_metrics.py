"""CloudWatch metrics of a run that AWS itself does not provide, for the dashboard.

There are seven metrics per app, sent while the run is monitored and `create_dashboard` is on.
CloudWatch charges a custom metric for the hours in which it gets values ("Amazon CloudWatch
pricing").
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
    """Values and units of the metrics, without unknown ones (pure).

    Args:
        seen: The observation.
        seconds: Duration of a job; None if unknown.
    """
    found = {JOBS[name]: (float(number), "Count") for name, number in seen.counts().items()}
    found[MACHINES] = (float(len(seen.machines)), "Count")
    if seconds is not None:
        found[SECONDS] = (seconds, "Seconds")
    if seen.spend.usd is not None:
        found[SPENT] = (seen.spend.usd, "None")
    return found


def publish(run: Run, seen: Observation, seconds: float | None) -> None:
    """Send the metrics of a poll in one request, if the app has a dashboard.

    A failure is logged once and otherwise ignored.

    Args:
        run: The run.
        seen: The observation.
        seconds: Duration of a job; None if unknown.
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
    logger.warning("Could not send metrics for the dashboard: %s", text)
