"""How long a step retries while AWS is out of reach, in seconds.

For `tasks.aws.patient`, after botocore has retried each request for about half a minute.
"""

RUN_OUTAGE = 1800
"""While machines run: giving up would cost the run's progress, and the machines keep working."""

STEP_OUTAGE = 600
"""For a submission, and for a whole clean-up: both can be repeated, and a person is waiting."""

REAPER_OUTAGE = 300
"""For one run in the reaper: other runs wait, and the reaper returns within 15 minutes."""
