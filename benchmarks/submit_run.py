"""One measurement of the submission, in its own process; prints the results.

    python benchmarks/submit_run.py memory ENDPOINT CSV_KEY [--from N]
    python benchmarks/submit_run.py rate ENDPOINT CSV_KEY --rounds R --singles S

The run is a real one, in Prefect's tasks: the job file with `groups: by`, the CSV from the bucket,
the plan in the run's record, the jobs in the queue.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import boto3

import flows.full_run  # noqa: F401 (what the process of a run has loaded counts)
from blocks import AwsCredentials, RunConfig
from blocks.job_file.model import parse_job_file
from tasks.aws.clients import Aws
from tasks.jobs.load_data_csv import Csvs
from tasks.jobs.messages import messages
from tasks.jobs.submission import send_jobs, write_plan
from tasks.runs import record
from tasks.runs.run import Run

KEY = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
JOB_FILE = """
pipeline: projects/lab/workspace/pipelines/batch/analysis.cppipe
data_file: {csv}
output: projects/lab/workspace/analysis/batch
output_structure: Metadata_Plate/analysis/Metadata_Plate-Metadata_Well-Metadata_Site
groups: {{by: [Metadata_Plate, Metadata_Well, Metadata_Site]}}
"""


@dataclass(frozen=True)
class SubmissionFigures:
    """Measurements of a submission.

    Attributes:
        jobs: Jobs in the plan.
        sent: Jobs sent.
        rss_mb: Peak resident set of the process, in MB.
        plan_seconds: From the CSV to the plan in the run's record.
        send_seconds: From the plan to the queue.
    """

    jobs: int
    sent: int
    rss_mb: float
    plan_seconds: float
    send_seconds: float


@dataclass(frozen=True)
class Rates:
    """Jobs per second by method, with the number of jobs and rounds.

    Attributes:
        batched: Sent like dcp does.
        single: One `send_message` after the other.
    """

    batched: float
    single: float
    batched_jobs: int
    single_jobs: int
    rounds: int


def started_run(endpoint: str) -> Run:
    """A new run of a new app."""
    parameters = {"endpoint_url": endpoint}
    config = RunConfig(
        app_name=f"Benchmark{uuid4().hex[:8]}",
        dockerhub_tag="lab/worker:1",
        aws_bucket="lab",
        aws_credentials=AwsCredentials(**KEY, aws_client_parameters=parameters),
    )
    run = Run(config, "run", Aws.connect(config.credentials, config.aws_region))
    record.begin(run)
    return run


def plan(run: Run, csv: str) -> int:
    """Expand the CSV into the plan."""
    sets = parse_job_file(JOB_FILE.format(csv=csv), "job.yaml").sets()
    with Csvs(run) as csvs:
        return write_plan(run, messages(sets, run.run_id, csvs))


def memory(endpoint: str, csv: str, first: int) -> SubmissionFigures:
    """Submit the jobs of a CSV, from number `first` on."""
    run = started_run(endpoint)
    queue = run.aws.sqs.get_queue_url(QueueName=run.names.queue)["QueueUrl"]
    started = time.perf_counter()
    jobs = plan(run, csv)
    planned = time.perf_counter()
    if first:
        record.note_submitted(run, first)
    send_jobs(run, queue)
    ended = time.perf_counter()
    return SubmissionFigures(jobs, jobs - first, peak_mb(), planned - started, ended - planned)


def peak_mb() -> float:
    """Peak resident set of this process so far (proc(5), VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def rate(endpoint: str, csv: str, rounds: int, singles: int) -> Rates:
    """Send the jobs alternately like dcp and one at a time."""
    run = started_run(endpoint)
    jobs = plan(run, csv)
    bodies = [body for body, _ in zip(record.job_lines(run), range(singles), strict=False)]
    sqs = boto3.resource("sqs", endpoint_url=endpoint, region_name="us-east-1", **KEY)
    queue = sqs.get_queue_by_name(QueueName=run.names.queue)
    batched = single = 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        for body in bodies:
            queue.send_message(MessageBody=body)
        between = time.perf_counter()
        record.note_submitted(run, 0)
        send_jobs(run, queue.url)
        single += between - started
        batched += time.perf_counter() - between
    return Rates(
        rounds * jobs / batched, rounds * singles / single, rounds * jobs, rounds * singles, rounds
    )


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory", "rate"])
    parser.add_argument("endpoint")
    parser.add_argument("csv")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--singles", type=int, default=100)
    options = parser.parse_args()
    measured: SubmissionFigures | Rates
    if options.what == "memory":
        measured = memory(options.endpoint, options.csv, options.first)
    else:
        measured = rate(options.endpoint, options.csv, options.rounds, options.singles)
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
