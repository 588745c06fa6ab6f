"""What is wrong when machines do not come, or come and do nothing. Pure.

    findings(symptoms: Symptoms) -> tuple[Diagnosis, ...]

`tasks.diagnosis.evidence.symptoms(run, fleets, since)` gathers the input from AWS. Each `Diagnosis`
has a `level`: a "configuration" ends the run, and `str(diagnosis)` is the reason; "capacity" and
"notice" are told once, as `key` tells one from another. `machines` are the instances that it is
about.

While something works, what fails beside it is a notice: a machine that came, a container that ran
well or a job that ended is proof that the run can go on. What AWS says and nobody here knows is
told word for word.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product

from tasks.diagnosis.causes import (
    CONTAINER,
    FLEET,
    LEVELS,
    NEVER_REGISTERS,
    SERVICE,
    UNKNOWN,
    USUAL,
    USUAL_ENDS,
    USUAL_REASONS,
    USUAL_STOPS,
    Cause,
    Level,
)
from tasks.fleet.base import FleetEvent

RECENT = timedelta(minutes=30)  # what is older says little of what is wrong now
REGISTER_WITHIN = timedelta(minutes=10)  # from launch; a machine boots and joins in 1 to 4 minutes
AT_ONCE = timedelta(minutes=2)  # a container that ran longer than this has started well
MOST_TEXTS = 3  # of one cause, in a diagnosis

# Information events by which EC2 tells that it cannot launch (EC2 API Reference, EventInformation).
TROUBLE = frozenset(
    {"launchSpecUnusable", "launchSpecTemporarilyBlacklisted", "fleetProgressHalted"}
)
MACHINE_TYPE = re.compile(
    r"\b[a-z][a-z0-9-]*\d[a-z0-9-]*\.(?:\d+x|x)?(?:nano|micro|small|medium|large|metal[\w-]*)\b"
)
PLACE = re.compile(r"\bsubnet-[0-9a-f]+|\b[a-z]{2}(?:-[a-z]+)+-\d[a-z]\b")
# What EC2 puts around the reason of a launch that failed.
REPEATED = re.compile(
    r"(?:launchSpec\w+: )?Repeated errors have occurred processing the launch specification "
    r'"(?P<spec>[^"]*?)(?: while launching[^"]*)?"\. .*? Error message: '
)
CHANGING = re.compile(r"\b(?:[a-z]+-)?[0-9a-f]{8,}\b|\d+")


@dataclass(frozen=True)
class Machine:
    """An instance of the run.

    Attributes:
        id: Its id.
        launched_at: When it was launched.
        alive: Whether it is up, or about to be.
        ended: Why it ended, in EC2's words (StateReason); "" while it is alive.
    """

    id: str
    launched_at: datetime
    alive: bool = True
    ended: str = ""


@dataclass(frozen=True)
class StoppedTask:
    """An ECS task of the run that has stopped.

    Attributes:
        code: ECS's stop code, such as `TaskFailedToStart`.
        reason: ECS's reason, with those of its containers.
        exit_code: Of its container; None when it never ran.
        ran: How long it ran.
    """

    code: str
    reason: str
    exit_code: int | None = None
    ran: timedelta = timedelta(0)


@dataclass(frozen=True)
class Symptoms:
    """What AWS tells of a run's machines and containers.

    Attributes:
        at: When it was asked.
        types: The machine types asked for.
        subnets: How many subnets they are asked for in; 0 when it is left to AWS.
        events: The history of the fleets; what is older than `RECENT` proves what worked, and no
            longer what does not.
        machines: The run's instances, also those that ended lately.
        joined: Container instance id to EC2 instance id of the machines in the cluster.
        service: What ECS says of the service.
        stopped: Tasks that have stopped lately.
        running: Containers that run.
        placed: Containers on the machines, running or about to.
        worked: Whether a job of the run has come to an end: containers did run then.
    """

    at: datetime
    types: tuple[str, ...] = ()
    subnets: int = 0
    events: tuple[FleetEvent, ...] = ()
    machines: tuple[Machine, ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)
    service: tuple[str, ...] = ()
    stopped: tuple[StoppedTask, ...] = ()
    running: int = 0
    placed: int = 0
    worked: bool = False

    @property
    def alive(self) -> list[Machine]:
        """The machines that are up, or about to be."""
        return [machine for machine in self.machines if machine.alive]


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, and what to do.

    Attributes:
        level: Whether waiting helps.
        code: Its cause.
        summary: What is wrong.
        detail: AWS's own words.
        remedy: What to do.
        machines: The instances that it is about.
    """

    level: Level
    code: str
    summary: str
    detail: str
    remedy: str
    machines: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for what need not be told again, whatever ids and numbers AWS names."""
        said = CHANGING.sub("#", self.detail) if self.code == UNKNOWN.code else self.summary
        return f"{self.level} {self.code}: {said}"

    def __str__(self) -> str:
        return f"{self.summary}. AWS says: {self.detail or 'nothing'}. {self.remedy}"


def findings(symptoms: Symptoms) -> tuple[Diagnosis, ...]:
    """Say what is wrong (pure): configurations first, each thing once.

    Args:
        symptoms: What AWS tells.
    """
    found = [
        *_fleet(symptoms),
        *_registration(symptoms),
        *_containers(symptoms),
        *_service(symptoms),
    ]
    once = {one.key: one for one in reversed(found)}
    return tuple(sorted(reversed(once.values()), key=lambda one: LEVELS.index(one.level)))


def cause_of(text: str, causes: Iterable[Cause]) -> Cause:
    """The first cause whose words are in the text; else the unknown."""
    return next((cause for cause in causes if cause.tells(text)), UNKNOWN)


def _by_cause(texts: Iterable[str], causes: Sequence[Cause]) -> Iterator[tuple[Cause, list[str]]]:
    """Causes with their texts; of what is unknown each text is told."""
    by_cause: dict[Cause, list[str]] = {}
    for text in texts:
        cause = cause_of(text, causes)
        if cause is UNKNOWN:
            yield cause, [text]
        else:
            by_cause.setdefault(cause, []).append(text)
    yield from by_cause.items()


def _diagnosis(
    cause: Cause, level: Level, said: Sequence[str], machines: Iterable[str] = ()
) -> Diagnosis:
    """The texts that say most stand for all."""
    shorter = said if cause is UNKNOWN else [REPEATED.sub(r"\g<spec>: ", text) for text in said]
    alike = {CHANGING.sub("#", text): text.strip() for text in shorter}
    detail = "; ".join(sorted(alike.values(), key=len, reverse=True)[:MOST_TEXTS])
    return Diagnosis(level, cause.code, cause.summary, detail, cause.remedy, tuple(machines))


def _level(cause: Cause, works: bool, times: int) -> Level:
    """A configuration is believed when it happened often enough, and nothing works."""
    if cause.level == "configuration" and (works or times < cause.times):
        return "notice"
    return cause.level


def _fleet(seen: Symptoms) -> Iterator[Diagnosis]:
    said = [
        event.words
        for event in sorted(seen.events, key=lambda event: event.at)
        if (event.error or event.subtype in TROUBLE) and seen.at - event.at <= RECENT
    ]
    dead = [
        machine.ended
        for machine in seen.machines
        if machine.ended and not machine.ended.startswith(USUAL_ENDS)
    ]
    said += dead
    # A machine that came is proof, unless it ended as it started.
    launched = sum(event.subtype == "launched" for event in seen.events)
    works = bool(seen.joined or seen.alive or seen.running) or launched > len(dead)
    for cause, texts in _by_cause(said, FLEET):
        level = _level(cause, works, len(texts))
        if level == "configuration" and cause.of_place and not _everywhere(seen, texts):
            level = "notice"
        named = _types(texts) or sorted(seen.types)
        told = _diagnosis(cause, level, texts)
        if cause.level == "capacity" or cause.of_place:
            told = replace(told, summary=f"{told.summary}: {', '.join(named)}".rstrip(": "))
        yield told


def _types(texts: Iterable[str]) -> list[str]:
    return sorted({found for text in texts for found in MACHINE_TYPE.findall(text)})


def _everywhere(seen: Symptoms, texts: Sequence[str]) -> bool:
    """Whether no machine type is left that may be had in some subnet, as far as texts name them."""
    pairs = {
        pair
        for text in texts
        for pair in product(MACHINE_TYPE.findall(text) or [""], PLACE.findall(text) or [""])
    }
    types = len(seen.types) if any(kind for kind, _ in pairs) else 1
    if not any(place for _, place in pairs):
        return len(pairs) >= types
    return seen.subnets > 0 and len(pairs) >= types * seen.subnets


def _registration(seen: Symptoms) -> Iterator[Diagnosis]:
    there = set(seen.joined.values())
    late = [
        machine.id
        for machine in seen.alive
        if machine.id not in there and seen.at - machine.launched_at >= REGISTER_WITHIN
    ]
    if late:
        level = _level(NEVER_REGISTERS, bool(there) or _works(seen), len(late))
        minutes = round(REGISTER_WITHIN.total_seconds() / 60)
        detail = f"{len(late)} machines did not join within {minutes} minutes: {', '.join(late)}"
        yield replace(_diagnosis(NEVER_REGISTERS, level, [detail]), machines=tuple(late))


def _containers(seen: Symptoms) -> Iterator[Diagnosis]:
    failed = [task for task in seen.stopped if _failed(task) and task.ran < AT_ONCE]
    texts = [
        f"{task.code}: {task.reason}" + (f" (exit code {task.exit_code})" if task.exit_code else "")
        for task in failed
    ]
    works = _works(seen)
    for cause, said in _by_cause(texts, CONTAINER):
        if cause.code == "container_exit":
            yield replace(
                _diagnosis(cause, _level(cause, works, len(said)), said),
                summary=f"{cause.summary}{_exit_codes(failed)}",
            )
        else:
            yield _diagnosis(cause, _level(cause, works, len(said)), said)


def _works(seen: Symptoms) -> bool:
    """Whether a container of the run has ever run well, as far as is known."""
    return seen.worked or seen.running > 0 or any(task.ran >= AT_ONCE for task in seen.stopped)


def _failed(task: StoppedTask) -> bool:
    usual = task.code in USUAL_STOPS or USUAL_REASONS.search(task.reason)
    return not usual and task.exit_code != 0


def _exit_codes(failed: Sequence[StoppedTask]) -> str:
    codes = Counter(task.exit_code for task in failed if task.exit_code is not None)
    return f", with exit code {codes.most_common(1)[0][0]}" if codes else ""


def _service(seen: Symptoms) -> Iterator[Diagnosis]:
    said = [text for text in seen.service if _tells_much(text, seen)]
    for cause, texts in _by_cause(said, SERVICE):
        yield _diagnosis(cause, _level(cause, _works(seen), len(texts)), texts)


def _tells_much(text: str, seen: Symptoms) -> bool:
    """Whether what ECS says of the service is more than its usual work.

    That a container finds no place is usual while others have theirs, and before machines came.
    Which machine is the closest match says little unless it is one of the run's own.
    """
    if "unable to place a task" in text:
        own = "closest matching" not in text or any(one in text for one in seen.joined)
        room = not (seen.placed or seen.running or seen.stopped)
        return own and bool(seen.joined) and (room or "AGENT" in text)
    return not USUAL.search(text)
