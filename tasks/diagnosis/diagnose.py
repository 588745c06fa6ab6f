"""Diagnoses why machines do not launch, or run no containers. Pure.

    diagnose(symptoms: Symptoms) -> tuple[FleetDiagnosis, ...]

`tasks.diagnosis.evidence.collect_symptoms(run, fleets, since)` gathers the input from AWS. Each
`FleetDiagnosis` has a `level`: a "configuration" stops the run, with `str(diagnosis)` as the
reason; "capacity" and "notice" are reported once for each `key`. `machines` are the affected
instances.

While something works, other failures are notices: a launched machine, a container that ran well or
a finished job proves that the run can continue. An unknown message of AWS is reported verbatim.
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

RECENT = timedelta(minutes=30)  # older events say little about the present
REGISTER_WITHIN = timedelta(minutes=10)  # from launch; a machine boots and joins in 1 to 4 minutes
AT_ONCE = timedelta(minutes=2)  # a container that ran at least this long started well
MOST_TEXTS = 3  # messages of one cause, in a diagnosis

# Information events that report failed launches (EC2 API Reference, EventInformation).
TROUBLE = frozenset(
    {"launchSpecUnusable", "launchSpecTemporarilyBlacklisted", "fleetProgressHalted"}
)
MACHINE_TYPE = re.compile(
    r"\b[a-z][a-z0-9-]*\d[a-z0-9-]*\.(?:\d+x|x)?(?:nano|micro|small|medium|large|metal[\w-]*)\b"
)
PLACE = re.compile(r"\bsubnet-[0-9a-f]+|\b[a-z]{2}(?:-[a-z]+)+-\d[a-z]\b")
# EC2's text around the reason of a failed launch.
REPEATED = re.compile(
    r"(?:launchSpec\w+: )?Repeated errors have occurred processing the launch specification "
    r'"(?P<spec>[^"]*?)(?: while launching[^"]*)?"\. .*? Error message: '
)
CHANGING = re.compile(r"\b(?:[a-z]+-)?[0-9a-f]{8,}\b|\d+")


@dataclass(frozen=True)
class FleetMachine:
    """An instance of the run.

    Attributes:
        id: Instance id.
        launched_at: Launch time.
        alive: Whether it is pending or running.
        ended: EC2's reason for its end (StateReason); "" while it is alive.
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
        exit_code: Exit code of its container; None if it never ran.
        ran: Run time.
    """

    code: str
    reason: str
    exit_code: int | None = None
    ran: timedelta = timedelta(0)


@dataclass(frozen=True)
class Symptoms:
    """AWS's reports about a run's machines and containers.

    Attributes:
        at: Time of the requests.
        types: The requested machine types.
        subnets: Number of subnets in the request; 0 if AWS chooses them.
        events: The history of the fleets. Events older than `RECENT` prove what worked, but not
            what fails now.
        machines: The run's instances, including recently terminated ones.
        joined: Container instance id to EC2 instance id of the machines in the cluster.
        service: ECS's messages about the service.
        stopped: Recently stopped tasks.
        running: Number of running containers.
        placed: Number of containers on the machines, running or pending.
        worked: Whether a job of the run has finished, which proves that containers ran.
    """

    at: datetime
    types: tuple[str, ...] = ()
    subnets: int = 0
    events: tuple[FleetEvent, ...] = ()
    machines: tuple[FleetMachine, ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)
    service: tuple[str, ...] = ()
    stopped: tuple[StoppedTask, ...] = ()
    running: int = 0
    placed: int = 0
    worked: bool = False

    @property
    def alive(self) -> list[FleetMachine]:
        """The machines that are pending or running."""
        return [machine for machine in self.machines if machine.alive]


@dataclass(frozen=True)
class FleetDiagnosis:
    """What is wrong, and what to do.

    Attributes:
        level: Whether waiting helps.
        code: Code of the cause.
        summary: What is wrong.
        detail: AWS's own messages.
        remedy: What to do.
        machines: The affected instances.
    """

    level: Level
    code: str
    summary: str
    detail: str
    remedy: str
    machines: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Equal for repeated diagnoses, whatever ids and numbers AWS names."""
        text = CHANGING.sub("#", self.detail) if self.code == UNKNOWN.code else self.summary
        return f"{self.level} {self.code}: {text}"

    def __str__(self) -> str:
        return f"{self.summary}. AWS says: {self.detail or 'nothing'}. {self.remedy}"


def diagnose(symptoms: Symptoms) -> tuple[FleetDiagnosis, ...]:
    """What is wrong (pure): configurations first, each diagnosis once.

    Args:
        symptoms: AWS's reports.
    """
    diagnoses = [
        *_fleet(symptoms),
        *_registration(symptoms),
        *_containers(symptoms),
        *_service(symptoms),
    ]
    unique = {diagnosis.key: diagnosis for diagnosis in reversed(diagnoses)}
    return tuple(
        sorted(reversed(unique.values()), key=lambda diagnosis: LEVELS.index(diagnosis.level))
    )


def cause_of(text: str, causes: Iterable[Cause]) -> Cause:
    """The first cause that matches the text; else UNKNOWN."""
    return next((cause for cause in causes if cause.matches(text)), UNKNOWN)


def _by_cause(texts: Iterable[str], causes: Sequence[Cause]) -> Iterator[tuple[Cause, list[str]]]:
    """Causes with their texts; each unknown text comes alone."""
    by_cause: dict[Cause, list[str]] = {}
    for text in texts:
        cause = cause_of(text, causes)
        if cause is UNKNOWN:
            yield cause, [text]
        else:
            by_cause.setdefault(cause, []).append(text)
    yield from by_cause.items()


def _diagnosis(
    cause: Cause, level: Level, texts: Sequence[str], machines: Iterable[str] = ()
) -> FleetDiagnosis:
    """The longest texts represent all of them."""
    shorter = texts if cause is UNKNOWN else [REPEATED.sub(r"\g<spec>: ", text) for text in texts]
    distinct = {CHANGING.sub("#", text): text.strip() for text in shorter}
    detail = "; ".join(sorted(distinct.values(), key=len, reverse=True)[:MOST_TEXTS])
    return FleetDiagnosis(level, cause.code, cause.summary, detail, cause.remedy, tuple(machines))


def _level(cause: Cause, works: bool, times: int) -> Level:
    """A configuration counts as one only if it occurred often enough and nothing works."""
    if cause.level == "configuration" and (works or times < cause.times):
        return "notice"
    return cause.level


def _fleet(symptoms: Symptoms) -> Iterator[FleetDiagnosis]:
    messages = [
        event.message
        for event in sorted(symptoms.events, key=lambda event: event.at)
        if (event.error or event.subtype in TROUBLE) and symptoms.at - event.at <= RECENT
    ]
    dead = [
        machine.ended
        for machine in symptoms.machines
        if machine.ended and not machine.ended.startswith(USUAL_ENDS)
    ]
    messages += dead
    # A launched machine is proof, unless it failed while it started.
    launched = sum(event.subtype == "launched" for event in symptoms.events)
    works = bool(symptoms.joined or symptoms.alive or symptoms.running) or launched > len(dead)
    for cause, texts in _by_cause(messages, FLEET):
        level = _level(cause, works, len(texts))
        if level == "configuration" and cause.depends_on_place and not _everywhere(symptoms, texts):
            level = "notice"
        types = _types(texts) or sorted(symptoms.types)
        diagnosis = _diagnosis(cause, level, texts)
        if cause.level == "capacity" or cause.depends_on_place:
            summary = f"{diagnosis.summary}: {', '.join(types)}".rstrip(": ")
            diagnosis = replace(diagnosis, summary=summary)
        yield diagnosis


def _types(texts: Iterable[str]) -> list[str]:
    return sorted({name for text in texts for name in MACHINE_TYPE.findall(text)})


def _everywhere(symptoms: Symptoms, texts: Sequence[str]) -> bool:
    """Whether the texts name every machine type in every subnet."""
    pairs = {
        pair
        for text in texts
        for pair in product(MACHINE_TYPE.findall(text) or [""], PLACE.findall(text) or [""])
    }
    types = len(symptoms.types) if any(kind for kind, _ in pairs) else 1
    if not any(place for _, place in pairs):
        return len(pairs) >= types
    return symptoms.subnets > 0 and len(pairs) >= types * symptoms.subnets


def _registration(symptoms: Symptoms) -> Iterator[FleetDiagnosis]:
    joined = set(symptoms.joined.values())
    late = [
        machine.id
        for machine in symptoms.alive
        if machine.id not in joined and symptoms.at - machine.launched_at >= REGISTER_WITHIN
    ]
    if late:
        level = _level(NEVER_REGISTERS, bool(joined) or _works(symptoms), len(late))
        minutes = round(REGISTER_WITHIN.total_seconds() / 60)
        noun = "machine" if len(late) == 1 else "machines"
        detail = f"{len(late)} {noun} did not join within {minutes} minutes: {', '.join(late)}"
        yield replace(_diagnosis(NEVER_REGISTERS, level, [detail]), machines=tuple(late))


def _containers(symptoms: Symptoms) -> Iterator[FleetDiagnosis]:
    failed = [task for task in symptoms.stopped if _failed(task) and task.ran < AT_ONCE]
    texts = [
        f"{task.code}: {task.reason}" + (f" (exit code {task.exit_code})" if task.exit_code else "")
        for task in failed
    ]
    works = _works(symptoms)
    for cause, reasons in _by_cause(texts, CONTAINER):
        diagnosis = _diagnosis(cause, _level(cause, works, len(reasons)), reasons)
        if cause.code == "container_exit":
            diagnosis = replace(diagnosis, summary=f"{cause.summary}{_exit_codes(failed)}")
        yield diagnosis


def _works(symptoms: Symptoms) -> bool:
    """Whether a container of the run is known to have run well."""
    return (
        symptoms.worked
        or symptoms.running > 0
        or any(task.ran >= AT_ONCE for task in symptoms.stopped)
    )


def _failed(task: StoppedTask) -> bool:
    usual = task.code in USUAL_STOPS or USUAL_REASONS.search(task.reason)
    return not usual and task.exit_code != 0


def _exit_codes(failed: Sequence[StoppedTask]) -> str:
    codes = Counter(task.exit_code for task in failed if task.exit_code is not None)
    return f", with exit code {codes.most_common(1)[0][0]}" if codes else ""


def _service(symptoms: Symptoms) -> Iterator[FleetDiagnosis]:
    messages = [text for text in symptoms.service if _is_unusual(text, symptoms)]
    for cause, texts in _by_cause(messages, SERVICE):
        yield _diagnosis(cause, _level(cause, _works(symptoms), len(texts)), texts)


def _is_unusual(text: str, symptoms: Symptoms) -> bool:
    """Whether ECS's message about the service reports trouble.

    An unplaced container is normal while others are placed, and before machines have joined. The
    closest match that ECS names matters only if it is one of the run's own machines.
    """
    if "unable to place a task" in text:
        own = "closest matching" not in text or any(name in text for name in symptoms.joined)
        room = not (symptoms.placed or symptoms.running or symptoms.stopped)
        return own and bool(symptoms.joined) and (room or "AGENT" in text)
    return not USUAL.search(text)
