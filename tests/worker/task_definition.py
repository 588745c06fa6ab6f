"""The environment that a task definition gives the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dcp_worker.common.settings import Settings

ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "APP_NAME": "App",
    "RUN_ID": "20240131T120000Z-test",
    "ECS_CLUSTER": "default",
    "ECS_SERVICE": "AppService",
    "LOG_GROUP_NAME": "App",
    "SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/AppQueue",
    "SQS_DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/Dead",
    "SQS_MESSAGE_VISIBILITY": "120",
    "JOB_RETRIES": "3",
    "JOB_TIMEOUT": "41400",
    "STOP_SECONDS": "120",
    "IDLE_SECONDS": "600",
    "IDLE_ACTION": "terminate",
    "DOCKER_CORES": "1",
    "SECONDS_TO_START": "0",
    "MEMORY": "15000",
    "AWS_BUCKET": "main",
    "DOWNLOAD_FILES": "True",
    "NO_SIGN_REQUEST": "False",
    "CHECK_IF_DONE_BOOL": "False",
    "CHECK_IF_DONE_EXACT": "False",
    "EXPECTED_NUMBER_FILES": "1",
    "MIN_FILE_SIZE_BYTES": "1",
    "WARM": "True",
    "ALWAYS_CONTINUE": "False",
    "USE_PLUGINS": "False",
}


def settings(**changes: str) -> Settings:
    """The settings of a worker, with some variables changed."""
    return Settings.from_environment({**ENVIRONMENT, **changes})


def refused(folder: Path, **changes: str) -> str:
    """The output of a container that does not start because of changed variables."""
    done = subprocess.run(
        [sys.executable, "-m", "dcp_worker"],
        env={**os.environ, **ENVIRONMENT, **changes},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    return done.stdout
