"""AWS calls per hour of monitoring, and time per poll, by number of jobs.

    .venv/bin/python benchmarks/monitor.py [--json FILE]

An hour of polls, one per minute, of a run that is half done, on the emulator. Only the listing of
results is answered here, page by page like S3, because a million objects exceed the emulator's
memory. The clock is simulated. Containers are idle processes.

--json FILE writes `calls_an_hour_JOBS` and `look_seconds_JOBS`.
"""

import argparse
import json
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSResponse
from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "support")]  # run as a file

from recorded_run import config_at, new_run  # noqa: E402

from blocks import FleetTemplate, RunConfig  # noqa: E402
from deployments.local.emulator_client import start_emulator  # noqa: E402
from tasks.jobs.job_ids import JobIds  # noqa: E402
from tasks.jobs.queues import ensure_queues  # noqa: E402
from tasks.lifecycle.launch import request_fleet, start_containers  # noqa: E402
from tasks.monitor.observe import Followed  # noqa: E402
from tasks.monitor.tick import tick  # noqa: E402
from tasks.resources.ecs import (  # noqa: E402
    ensure_cluster,
    ensure_service,
    ensure_task_definition,
    find_service,
)
from tasks.resources.log_groups import ensure_log_groups  # noqa: E402
from tasks.runs.limits import limits_of  # noqa: E402
from tasks.runs.run import Run  # noqa: E402

LOOKS = 60
START_WITHIN = 60.0  # seconds
PAGE = 1000
IDLE = ("-c", "import time; time.sleep(1e6)")
# Machines of the run by number of jobs.
SIZES = {10: 3, 10_000: 12, 1_000_000: 24}


@dataclass(frozen=True)
class ResultListing:
    """The results of a run that is half done, in the format of S3's listing.

    Attributes:
        ids: Ids of all jobs, sorted.
        done: Ids of the succeeded jobs.
    """

    ids: tuple[str, ...]
    done: tuple[str, ...]

    @classmethod
    def of(cls, jobs: int) -> "ResultListing":
        """The results of a run with this number of jobs."""
        texts = (str(number).encode() for number in range(jobs))
        ids = [md5(text, usedforsecurity=False).hexdigest() for text in texts]
        return cls(tuple(sorted(ids)), tuple(sorted(ids[: jobs // 2])))

    def page(self, prefix: str, digit: str, after: str) -> bytes:
        """A page of the listing, in XML (Amazon S3 API Reference, ListObjectsV2)."""
        end = bisect_left(self.done, digit + "g") if "succeeded" in prefix else 0
        place = int(after or bisect_left(self.done, digit))
        names = self.done[place : min(place + PAGE, end)]
        more = place + PAGE < end
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{prefix}{job_id}.</Prefix></CommonPrefixes>"
            for job_id in names
        )
        token = f"<NextContinuationToken>{place + PAGE}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{prefixes}</ListBucketResult>"
        ).encode()


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


@contextmanager
def counted(run: Run, results: ResultListing) -> Iterator[Counter[str]]:
    """Count the calls, and answer the listing of results."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[f"{model.service_model.service_name}:{model.name}"] += 1

    def listing(request: Any, **_: Any) -> AWSResponse | None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.url).query).items()}
        head, mark, digit = query.get("prefix", "").partition("/results/")
        if not mark or query.get("list-type") != "2":
            return None
        status, _, digit = digit.partition("/")
        prefix = f"{head}/results/{status}/"
        content = results.page(prefix, digit, query.get("continuation-token", ""))
        return AWSResponse(request.url, 200, {}, _Body(content))

    aws = run.aws
    clients = (aws.sqs, aws.ecs, aws.ec2, aws.s3, aws.cloudwatch, aws.pricing)
    for client in clients:
        client.meta.events.register("before-call", count)
    aws.s3.meta.events.register("before-send.s3", listing)
    yield calls


def started(config: RunConfig, machines: int) -> Run:
    """A run with its machines and containers."""
    run = new_run(config)
    ensure_cluster(run)
    ensure_queues(run)
    ensure_log_groups(run)
    arn = ensure_task_definition(run, {})
    ensure_service(run, arn)
    start_containers(run, machines)
    request_fleet(run, FleetTemplate(), machines)
    give_up = time.monotonic() + START_WITHIN
    while (service := find_service(run)) is None or service["runningCount"] < machines:
        if time.monotonic() > give_up:
            sys.exit(f"the containers did not start: {service and service['events'][:3]}")
        time.sleep(0.5)
    return run


def measure(endpoint_url: str, jobs: int, machines: int) -> tuple[Counter[str], float]:
    """The calls of an hour, and the mean time of a poll in seconds."""
    config = config_at(
        endpoint_url,
        f"Watched{jobs}",
        cluster_machines=machines,
        docker_cores=1,
        memory=15_000,
        create_dashboard=True,
    )
    run = started(config, machines)
    url = run.aws.sqs.get_queue_url(QueueName=run.names.queue)["QueueUrl"]
    for number in range(min(jobs - jobs // 2, 50)):
        run.aws.sqs.send_message(QueueUrl=url, MessageBody=str(number))
    results = ResultListing.of(jobs)
    followed = Followed(JobIds(results.ids))
    clock = [datetime.now(UTC)]
    assert limits_of(run, clock[0]).look_seconds == 60
    with counted(run, results) as calls, patch("tasks.monitor.observe.datetime") as now:
        now.now.side_effect = lambda _: clock[0]
        began = time.monotonic()
        for _ in range(LOOKS):
            tick(run, followed)
            clock[0] += timedelta(seconds=60)
        return calls, (time.monotonic() - began) / LOOKS


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description="Calls to AWS per hour of monitoring.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        emulated = start_emulator(
            Path(folder), Path(sys.executable), container_command=IDLE, boot_seconds=0.1
        )
        with emulated as emulator:
            for jobs, machines in SIZES.items():
                results[jobs] = measure(emulator.endpoint_url, jobs, machines)
                print(f"{jobs:,} jobs: {results[jobs][1]:.2f} s per poll", file=sys.stderr)
    report = Table(title="Calls per hour", box=box.MARKDOWN, title_justify="left")
    for name in ("call", *(f"{jobs:,} jobs" for jobs in results)):
        report.add_column(name, justify="left" if name == "call" else "right")
    for name in sorted(set().union(*(calls for calls, _ in results.values()))):
        report.add_row(name, *(str(calls[name]) for calls, _ in results.values()))
    report.add_row("all", *(str(sum(calls.values())) for calls, _ in results.values()))
    report.add_row("per poll, s", *(f"{seconds:.2f}" for _, seconds in results.values()))
    Console(width=120).print(report)
    if options.json:
        figures = {
            f"calls_an_hour_{jobs}": sum(calls.values()) for jobs, (calls, _) in results.items()
        }
        figures |= {
            f"look_seconds_{jobs}": round(seconds, 3) for jobs, (_, seconds) in results.items()
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
