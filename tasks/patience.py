"""How long AWS may be out of reach before a step is given up, in seconds.

Each is for `tasks.aws.patient`; botocore has repeated every request for about half a minute before.
"""

RUN_OUTAGE = 1800
"""While machines run: to give up a run costs its progress, and its machines go on meanwhile."""

STEP_OUTAGE = 600
"""For a submission and for the clean-up as a whole: both can be repeated, and somebody waits."""

REAPER_OUTAGE = 300
"""For one run of the reaper's: others wait for their turn, and it comes back within 15 minutes."""
