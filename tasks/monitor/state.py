"""The monitor's state between polls, stored as `memory.json` in the run's record.

It is separate from `run.json`, which other processes may change, since it is written at every poll.
Its keys are the fields of all trackers in one flat object. A tracker reads its own keys and ignores
all others, and a missing key has its default, so versions of dcp with different trackers can read
each other's state.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter

from tasks.monitor.trackers import Memory
from tasks.runs import record
from tasks.runs.run import Run

_MEMORY = TypeAdapter(Memory)
_TRACKERS = tuple(one.name for one in fields(Memory) if is_dataclass(one.default))


def from_keys(keys: Mapping[str, Any]) -> Memory:
    """The state in a `memory.json`."""
    return _MEMORY.validate_python({**keys, **dict.fromkeys(_TRACKERS, keys)})


def as_keys(memory: Memory) -> dict[str, Any]:
    """The content of `memory.json`."""
    keys: dict[str, Any] = _MEMORY.dump_python(memory, mode="json")
    for tracker in _TRACKERS:
        keys |= keys.pop(tracker)
    return keys


def recall(run: Run) -> Memory:
    """The state after the last poll; an empty one before the first."""
    text = record.read(run, record.MEMORY)
    return from_keys(json.loads(text)) if text else Memory()


def keep(run: Run, memory: Memory) -> None:
    """Write the state for the next poll."""
    record.put(run, record.MEMORY, json.dumps(as_keys(memory), indent=1))


def forget(run: Run) -> None:
    """Delete the state, so that a continued run waits for its machines as a new one does."""
    record.forget(run, record.MEMORY)
