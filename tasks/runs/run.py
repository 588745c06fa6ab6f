"""One run: its configuration, its id and the AWS clients."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from blocks import RunConfig
from blocks.resource_names import Names
from tasks.aws.clients import Aws


@dataclass(frozen=True)
class Run:
    """A run of an app, passed to every step.

    Attributes:
        config: The run's configuration.
        run_id: Id of the run within the app; begins with its date and time.
        aws: The clients.
    """

    config: RunConfig
    run_id: str
    aws: Aws

    @property
    def names(self) -> Names:
        """The names of the app's resources."""
        return self.config.names

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every resource of the run, so that any computer can find them."""
        return self.names.tags(self.run_id) | {self.names.bucket_tag: self.config.aws_bucket}

    def key(self, name: str) -> str:
        """The S3 key, in `aws_bucket`, of an object of the run's record."""
        return self.names.run_prefix(self.run_id) + name


def new_run_id(created: datetime, flow_run_id: UUID | str) -> str:
    """The id of the run that a flow run starts; the same for every retry of the flow run.

    Returns:
        For example `20260301-181502-3f9a1c`.
    """
    return f"{created:%Y%m%d-%H%M%S}-{str(flow_run_id).replace('-', '')[:6]}"
