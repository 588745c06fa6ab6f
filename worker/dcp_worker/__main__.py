"""`python -m dcp_worker`: the container's command."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from dcp_worker.cellprofiler import plugins
from dcp_worker.common import container_log
from dcp_worker.common.aws_clients import PROMPTLY, RETRIES
from dcp_worker.common.settings import Settings, SettingsError
from dcp_worker.inputs import bucket_mount
from dcp_worker.jobs.drain_order import DrainOrder
from dcp_worker.machine import instance, metrics, self_termination, spot_notice
from dcp_worker.machine.scale_in_protection import ScaleInProtection
from dcp_worker.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("dcp_worker")

BAD_SETTINGS = 2
BAD_PLUGINS = 3


def main() -> int:
    """Run the container's slots until SIGTERM; returns the exit status."""
    container_log.to_stdout("main")
    # For the first process of a container, signals have no default action.
    signal.signal(signal.SIGTERM, _leave)
    try:
        settings = Settings.from_environment(os.environ)
        bucket_mount.prepare(settings)
        plugins_folder = plugins.prepare(settings)
    except (SettingsError, bucket_mount.MountError) as error:
        log.error("The worker cannot start: %s", error)
        return BAD_SETTINGS
    except plugins.PluginsError as error:
        log.error("The worker cannot start: %s", error)
        return BAD_PLUGINS
    metrics.watch(Path.cwd())
    instance_id = instance.identify(os.environ)
    session = boto3.session.Session(region_name=settings.aws_region)
    ecs = session.client("ecs", config=PROMPTLY)
    ec2 = session.client("ec2", config=PROMPTLY)
    if instance_id:
        cloudwatch = session.client("cloudwatch", config=RETRIES)
        threading.Thread(
            target=instance.set_up, args=(ec2, cloudwatch, settings, instance_id), daemon=True
        ).start()
    supervisor = Supervisor(
        settings,
        session.client("sqs", config=PROMPTLY),
        ScaleInProtection(os.environ),
        DrainOrder(session.client("s3", config=PROMPTLY), settings),
        plugins_folder,
        instance_id,
        partial(self_termination.terminate_machine, ecs, ec2, settings, instance_id),
        partial(self_termination.replace_machine, ec2, instance_id),
    )
    if instance_id:
        spot_notice.watch(os.environ, supervisor.retire)
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, supervisor.stop)
    supervisor.run()
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    """Exit at once: before the slots start, there are no messages to return."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
