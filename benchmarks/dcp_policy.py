"""The rules by which Distributed-CellProfiler sizes a fleet and spends the time of a job. Pure.

Taken from its version 2.2. The simulation of fleets models Distributed-CellProfiler with these
alone. All times are in seconds.
"""

TICK_SECONDS = 60
"""Interval of its monitor's polls."""
RESIZE_SECONDS = 600
"""Interval at which it checks the fleet's target, which it only ever reduces."""
IDLE_SECONDS = 900
"""How long a machine's CPU is idle before its alarm terminates it, if nothing else does."""
SLOT_START_SECONDS = 180
"""Delay between the starts of a container's CellProfilers: its default SECONDS_TO_START."""
SLEEP_SECONDS = 30
"""How long a slot sleeps after each job."""
POLL_SECONDS = 4
"""How long a slot takes to receive and prepare a job, without CellProfiler."""
JOB_SECONDS = SLEEP_SECONDS + POLL_SECONDS
"""How long each job occupies its slot in addition to CellProfiler."""
VISIBILITY_SECONDS = 7200
"""How long a job stays hidden after its machine is lost: a common setting for an analysis."""


def dcp_target(target: int, waiting: int, in_flight: int, machines: int) -> int:
    """The fleet's new target; checked every `RESIZE_SECONDS`.

    It follows the messages in flight once none is visible; machines above it are not terminated.
    It counts jobs, not slots: a machine with four slots is kept as long as there is one job in
    flight per machine. The hidden messages of a lost machine count as in flight.

    Args:
        target: The current target.
        waiting: Visible messages.
        in_flight: Messages that are not visible.
        machines: Machines of the fleet.
    """
    return in_flight if waiting == 0 and in_flight < machines else target


def dcp_done(waiting: int, in_flight: int) -> bool:
    """Whether it ends the run with all machines: no message is visible or in flight."""
    return waiting + in_flight == 0
