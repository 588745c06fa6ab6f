"""Links to a run's resources in the AWS console."""

from functools import lru_cache
from urllib.parse import quote

import botocore.session

from tasks.runs.run import Run

_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
_STREAM_LENGTH = 512  # CloudWatch Logs, CreateLogStream


def stream_name(metadata_id: str) -> str:
    """A job's log stream, derived like in the worker, because a killed worker cannot report it.

    Args:
        metadata_id: The folders of the job's group below `output`.
    """
    return metadata_id.replace(":", "_").replace("*", "_")[:_STREAM_LENGTH]


def log_link(region: str, group: str, stream: str) -> str:
    """The console link of a log stream; "" without a stream.

    The console's page reads the part after `#`: it expects names that are URL-escaped twice, with
    `$` instead of `%`.
    """
    if not stream:
        return ""
    return (
        f"https://{_console(region)}/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{_escaped(group)}/log-events/{_escaped(stream)}"
    )


def links(run: Run) -> dict[str, str]:
    """Console links of a run's resources, by their description."""
    region, names, bucket = run.config.aws_region, run.names, run.config.aws_bucket
    base, cloudwatch = f"https://{_console(region)}", f"cloudwatch/home?region={region}#"
    cluster = quote(run.config.ecs_cluster, safe="")
    paths = {
        "record and report in S3": f"s3/buckets/{bucket}?region={region}"
        f"&prefix={quote(run.key(''), safe='/')}",
        "job logs": f"{cloudwatch}logsV2:log-groups/log-group/{_escaped(names.log_group)}",
        "container logs": f"{cloudwatch}logsV2:log-groups/log-group/"
        f"{_escaped(names.instance_log_group)}",
        "containers": f"ecs/v2/clusters/{cluster}/services/{names.service}/health?region={region}",
    }
    if run.config.create_dashboard:
        paths["dashboard"] = f"{cloudwatch}dashboards/dashboard/{quote(names.dashboard, safe='')}"
    return {description: f"{base}/{path}" for description, path in paths.items()}


def _escaped(name: str) -> str:
    return quote(quote(name, safe=""), safe="").replace("%", "$")


@lru_cache
def _console(region: str) -> str:
    partition = botocore.session.get_session().get_partition_for_region(region)
    return _CONSOLES.get(partition, f"{region}.console.aws.amazon.com")
