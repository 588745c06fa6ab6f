"""Where a person reads the log of a job: its stream in CloudWatch Logs, in the AWS console."""

from functools import lru_cache
from urllib.parse import quote

import botocore.session

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


def _escaped(name: str) -> str:
    return quote(quote(name, safe=""), safe="").replace("%", "$")


@lru_cache
def _console(region: str) -> str:
    partition = botocore.session.get_session().get_partition_for_region(region)
    return _CONSOLES.get(partition, f"{region}.console.aws.amazon.com")
