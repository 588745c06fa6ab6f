"""Finds the fleets of an app by their tags."""

from tasks.fleet.base import Fleet
from tasks.fleet.ec2_fleet import find_ec2_fleets
from tasks.fleet.spot_fleet import find_spot_fleets
from tasks.runs.run import Run


def find_fleets(run: Run) -> list[Fleet]:
    """The app's fleets of both kinds that have not ended."""
    app = run.names.app
    return [*find_ec2_fleets(run.aws.ec2, app), *find_spot_fleets(run.aws.ec2, app)]
