"""Where a person looks at what a run has in AWS: addresses in the AWS console."""

from functools import lru_cache
from urllib.parse import quote

import botocore.session

from tasks.runs.run import Run

_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
_STREAM_LENGTH = 512  # CloudWatch Logs, CreateLogStream


def stream_name(metadata_id: str) -> str:
    """The log stream of a job, as its worker names it: one that was killed could not tell it.

    Args:
        metadata_id: The folders of its group below `output`.
    """
    return metadata_id.replace(":", "_").replace("*", "_")[:_STREAM_LENGTH]


def log_link(region: str, group: str, stream: str) -> str:
    """The address of a log stream in the console of its region's partition; "" without a stream.

    The part after `#` is read by the console's own page: names are escaped as in any address,
    their `%` are escaped once more, and each `%` of that is written `$`.
    """
    if not stream:
        return ""
    return (
        f"https://{_console(region)}/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{_escaped(group)}/log-events/{_escaped(stream)}"
    )


def links(run: Run) -> dict[str, str]:
    """The addresses of what a run has, by what they show."""
    region, names, bucket = run.config.aws_region, run.names, run.config.aws_bucket
    base, cloudwatch = f"https://{_console(region)}", f"cloudwatch/home?region={region}#"
    cluster = quote(run.config.ecs_cluster, safe="")
    shown = {
        "record and report in S3": f"s3/buckets/{bucket}?region={region}"
        f"&prefix={quote(run.key(''), safe='/')}",
        "logs of the jobs": f"{cloudwatch}logsV2:log-groups/log-group/{_escaped(names.log_group)}",
        "logs of the containers": f"{cloudwatch}logsV2:log-groups/log-group/"
        f"{_escaped(names.instance_log_group)}",
        "containers": f"ecs/v2/clusters/{cluster}/services/{names.service}/health?region={region}",
    }
    if run.config.create_dashboard:
        shown["dashboard"] = f"{cloudwatch}dashboards/dashboard/{quote(names.dashboard, safe='')}"
    return {what: f"{base}/{path}" for what, path in shown.items()}


def _escaped(name: str) -> str:
    return quote(quote(name, safe=""), safe="").replace("%", "$")


@lru_cache
def _console(region: str) -> str:
    partition = botocore.session.get_session().get_partition_for_region(region)
    return _CONSOLES.get(partition, f"{region}.console.aws.amazon.com")
