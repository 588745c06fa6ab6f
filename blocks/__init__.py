"""The settings of a run as Prefect blocks: register them by `prefect block register -m blocks`."""

from prefect_aws import AwsCredentials

from blocks.fleet_template import FleetTemplate
from blocks.job_file import JobFile
from blocks.profile import Profile
from blocks.run_config import RunConfig

__all__ = ["AwsCredentials", "FleetTemplate", "JobFile", "Profile", "RunConfig"]
