"""What the monitor remembers from look to look, in the run's record.

In an object of its own, `memory.json`: it is written at every look, while others may change
`run.json`.
"""

from pydantic import TypeAdapter

from tasks import record
from tasks.policy import Memory
from tasks.run import Run

_MEMORY = TypeAdapter(Memory)


def recall(run: Run) -> Memory:
    """What is remembered; nothing before the first look."""
    text = record.read(run, record.MEMORY)
    return _MEMORY.validate_json(text) if text else Memory()


def keep(run: Run, memory: Memory) -> None:
    """Remember this until the next look."""
    record.put(run, record.MEMORY, _MEMORY.dump_json(memory, indent=1).decode())


def forget(run: Run) -> None:
    """Begin anew: a run that is continued waits for its machines as a new one does.

    Its workers begin jobs again.
    """
    record.forget(run, record.MEMORY)
    record.forget(run, record.FINISH)
