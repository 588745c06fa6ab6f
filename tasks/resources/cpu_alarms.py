"""The idle alarms that the workers put on their machines.

The monitor deletes those of machines that have ended (`tasks.monitor.tick.clear_alarms`), and the
clean-up deletes all by the prefix of their names, so that none is left of any machine of the app.
"""

import logging
import re
import time
from collections.abc import Collection

from botocore.exceptions import ClientError

from tasks.aws.concurrency import batches
from tasks.aws.errors import AwsError, error_code
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

BATCH = 100  # the most names that CloudWatch takes in a DeleteAlarms request
# An account may send 3 DeleteAlarms a second, and no more can be had ("CloudWatch service quotas"
# in the CloudWatch User Guide): the workers of other runs and the console need some of them.
SECONDS_APART = 0.5


def alarm_names(run: Run) -> list[str]:
    """The names of all idle alarms of the app's machines, those of past machines too."""
    pages = run.aws.cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=run.names.alarm_prefix
    )
    own = re.compile(re.escape(run.names.alarm_prefix) + r"[0-9a-f]+")
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    return [name for name in names if own.fullmatch(name)]


def delete_alarms(run: Run) -> int:
    """Delete all idle alarms of the app; returns how many."""
    names = alarm_names(run)
    _delete(run, names)
    return len(names)


def delete_alarms_of(run: Run, gone: Collection[str]) -> bool:
    """Delete the idle alarms of machines that are gone; a call for each hundred, none for none.

    An alarm costs a little and does nothing any more, so that what AWS refuses is only told: it
    must not be in the way of what ends machines.

    Args:
        run: The run.
        gone: Instance ids. Some may never have had an alarm.

    Returns:
        Whether none of these alarms is left.
    """
    try:
        _delete(run, [run.names.alarm(machine) for machine in sorted(gone)])
    except AwsError as error:
        logger.warning("Alarms of %d machines that are gone are left for now: %s", len(gone), error)
        return False
    return True


def _delete(run: Run, names: Collection[str]) -> None:
    for number, batch in enumerate(batches(names, BATCH)):
        if number:
            time.sleep(SECONDS_APART)
        try:
            run.aws.cloudwatch.delete_alarms(AlarmNames=batch)
        except ClientError as error:
            # Those of the request that are there are deleted all the same (CloudWatch API
            # Reference, DeleteAlarms).
            if error_code(error) != "ResourceNotFound":
                raise
