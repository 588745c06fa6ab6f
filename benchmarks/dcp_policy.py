"""How Distributed-CellProfiler sizes a fleet and spends a job's time, as numbers and rules. Pure.

Read off its version 2.2. The simulation of fleets rests on these alone for what it says of
Distributed-CellProfiler. Seconds throughout.
"""

TICK_SECONDS = 60
"""Between two looks of its monitor."""
RESIZE_SECONDS = 600
"""Between two looks at the fleet's target; it only ever becomes smaller."""
IDLE_SECONDS = 900
"""How long a machine's CPU does nothing before its alarm ends it, when nothing else does."""
SLOT_START_SECONDS = 180
"""Between the starts of a container's CellProfilers: its SECONDS_TO_START unless changed."""
SLEEP_SECONDS = 30
"""What a slot sleeps after each job."""
POLL_SECONDS = 4
"""What a slot spends on taking a job and looking around, besides CellProfiler's own work."""
JOB_SECONDS = SLEEP_SECONDS + POLL_SECONDS
"""What each job keeps its slot besides CellProfiler."""
VISIBILITY_SECONDS = 7200
"""How long a job stays hidden when its machine is lost: what labs set for an analysis."""


def dcp_target(target: int, waiting: int, in_flight: int, machines: int) -> int:
    """What the fleet's target becomes when it is looked at, each `RESIZE_SECONDS`.

    It follows the messages in flight once none is visible, and machines above it are not
    terminated. Jobs are counted, not slots: a machine of four counts as wanted as long as one job
    a machine is in flight. Messages that a lost machine leaves hidden are in flight.

    Args:
        target: The target now.
        waiting: Visible messages.
        in_flight: Messages that are not visible.
        machines: Machines that the fleet has.
    """
    return in_flight if waiting == 0 and in_flight < machines else target


def dcp_done(waiting: int, in_flight: int) -> bool:
    """Whether it ends the run, with all machines: no message is visible or in flight."""
    return waiting + in_flight == 0
