"""The names of all resources of a run in AWS, derived only from its app name.

With the app name, any machine can find, continue or clean up the run: no other module composes a
name.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar

RECORDS = "dcp/"
"""S3 prefix of the records of all apps."""

LONGEST_APP = 64  # characters (blocks.fields.AppName)


@dataclass(frozen=True)
class Names:
    """The names of one app, as in Distributed-CellProfiler (`<APP>Queue`, `<APP>Service` …).

    Attributes:
        app: The app name.
        queue: The SQS queue of its jobs.
        dead_letter_queue: The SQS dead-letter queue; may be shared between apps.
        log_group: The CloudWatch log group of its jobs, one stream per job.
    """

    app: str
    queue: str
    dead_letter_queue: str
    log_group: str

    attribute: ClassVar[str] = "dcp.app"
    app_tag: ClassVar[str] = "dcp:app"
    run_tag: ClassVar[str] = "dcp:run"
    bucket_tag: ClassVar[str] = "dcp:bucket"  # leads from a machine to the run's record
    container: ClassVar[str] = "worker"

    @classmethod
    def of(
        cls,
        app: str,
        queue: str | None = None,
        dead_letter_queue: str | None = None,
        log_group: str | None = None,
    ) -> "Names":
        """The names of an app; names that are not given are derived from the app name."""
        return cls(
            app,
            queue or f"{app}Queue",
            dead_letter_queue or f"{app}DeadMessages",
            log_group or app,
        )

    @property
    def service(self) -> str:
        """The ECS service that keeps the containers running."""
        return f"{self.app}Service"

    @property
    def task_family(self) -> str:
        """The family of ECS task definitions."""
        return f"{self.app}Task"

    @property
    def launch_template(self) -> str:
        """The EC2 launch template of the fleet."""
        return f"{self.app}LaunchTemplate"

    @property
    def dashboard(self) -> str:
        """The CloudWatch dashboard."""
        return self.app

    @property
    def instance_log_group(self) -> str:
        """The CloudWatch log group of the containers' own output, one stream per container."""
        return f"{self.log_group}_perInstance"

    @property
    def alarm_prefix(self) -> str:
        """The name prefix of all idle alarms of this app.

        It ends in `i-`, as instance ids begin: otherwise an app named Lab would find the alarms of
        an app named Lab_2.
        """
        return f"{self.app}_i-"

    def alarm(self, instance_id: str) -> str:
        """The idle alarm of a machine."""
        return f"{self.app}_{instance_id}"

    @property
    def placement(self) -> str:
        """The ECS placement constraint that keeps containers on this app's machines."""
        return f"attribute:{self.attribute} == {self.app}"

    @property
    def record_prefix(self) -> str:
        """S3 prefix of the records of all runs of this app, in the log bucket."""
        return f"{RECORDS}{self.app}/"

    @property
    def latest_key(self) -> str:
        """The S3 key of the object that names the newest run."""
        return f"{self.record_prefix}latest.json"

    @property
    def done_prefix(self) -> str:
        """S3 prefix under which workers record the inputs of each completed job of this app."""
        return f"{self.record_prefix}done/"

    def run_prefix(self, run_id: str) -> str:
        """S3 prefix of the record of one run, in the log bucket."""
        return f"{self.record_prefix}{run_id}/"

    def tags(self, run_id: str) -> dict[str, str]:
        """The tags of every taggable resource of a run."""
        return {self.app_tag: self.app, self.run_tag: run_id}


def app_of(app: str, part: str) -> str:
    """The app name for a separate part of an app, such as a plate or a step.

    `<app>_<part>`, as DCP names its steps. Characters that an app name cannot contain are replaced;
    a digest then distinguishes the names of two parts.
    """
    whole = f"{app}_{part}"
    name = re.sub("[^A-Za-z0-9_-]", "-", whole).lstrip("-_")
    if name == whole and len(name) <= LONGEST_APP:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:6]
    return f"{name[: LONGEST_APP - 7]}_{digest}"
