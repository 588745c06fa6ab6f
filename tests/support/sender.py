"""Sends the jobs of a run and prints the number sent so far: `sender.py APP ENDPOINT RUN QUEUE`."""

import sys

from recorded_run import config_at

from tasks.aws.clients import Aws
from tasks.jobs.submission import send_jobs
from tasks.runs.run import Run

app, endpoint_url, run_id, queue = sys.argv[1:]
config = config_at(endpoint_url, app)
send_jobs(
    Run(config, run_id, Aws.connect(config.credentials, config.aws_region)),
    queue,
    lambda sent: print(sent, flush=True),  # noqa: T201 (what the test reads)
)
