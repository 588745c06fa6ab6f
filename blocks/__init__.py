"""The settings of a run as Prefect blocks.

A Prefect server in an environment with dcp registers them when it starts (the entry point
`prefect.collections`). Any other server learns of them by `prefect block register -m blocks`.
"""

from prefect_aws import AwsCredentials

from blocks.fleet_template import FleetTemplate
from blocks.job_file import JobFile
from blocks.profile import Profile
from blocks.run_config import RunConfig

__all__ = ["AwsCredentials", "FleetTemplate", "JobFile", "Profile", "RunConfig"]
