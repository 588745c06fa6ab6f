"""Distributed-CellProfiler's config.py as the settings of a run.

Its keys are ours in upper case. Sources: DCP's documentation, "Step 1: Configuration", and the
config.py of versions 1.x to 2.2.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from blocks.dcp_compat.config_translation import translate
from blocks.dcp_compat.config_values import DcpSettings
from blocks.dcp_compat.python_literals import Assignment, read_assignments
from blocks.dcp_compat.remarks import Kind, Remark
from blocks.errors import ConfigError, Problem
from blocks.fields import none_if_unset
from blocks.run_config.fields import RETIRED
from blocks.run_config.model import RunConfig

OLD_NAMES = {"REQUIREMENTS_FILE": "REQUIREMENTS"}
"""Keys of 1.x, and their later names."""

UNUSED = {
    "DOCKER_BASE_SIZE": "As in later DCP, containers share the machine's volume (EBS_VOL_SIZE).",
    **{key.upper(): why for key, why in RETIRED.items()},
}
"""Keys of DCP that have no effect here, each with the reason."""

SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

KEYS = {key.upper(): key for key in RunConfig.model_fields}

_NEAR = 0.85  # similarity at which a name counts as a misspelt key


def is_dcp_config(where: str) -> bool:
    """Whether the run config with this name is DCP's config.py."""
    return where.lower().endswith(".py")


def read_dcp_config(text: str, where: str) -> DcpSettings:
    """The settings in a config.py, which is not run.

    Raises:
        ConfigError: It has other statements than assignments of simple values, a name that looks
            like a misspelt key, or a switch that is neither 'True' nor 'False'; lists all of them.
    """
    assigned = read_assignments(text, where)
    settings = DcpSettings(where)
    problems = _take(settings, assigned)
    if problems:
        raise ConfigError(*problems)
    translate(settings)
    return settings


def _take(settings: DcpSettings, assigned: Mapping[str, Assignment]) -> list[Problem]:
    """Apply every assignment; returns the problems."""
    problems: list[Problem] = []
    for name, assignment in assigned.items():
        place = f"{settings.where}:{assignment.line}"
        key = KEYS.get(OLD_NAMES.get(name, name))
        if key is None:
            problems += _unknown(settings, name, assignment, place)
        elif name in OLD_NAMES and OLD_NAMES[name] in assigned:
            text = f"is the old name of {OLD_NAMES[name]} (since DCP 2), which the file sets too."
            settings.remarks.append(Remark(Kind.NO_COUNTERPART, place, name, text))
        else:
            settings.lines[key] = assignment.line
            problems += _set(settings, key, name, assignment.value)
            if assignment.earlier:
                lines = ", ".join(str(line) for line in assignment.earlier)
                text = f"is also assigned in line {lines}; the last assignment counts."
                settings.add_remark(Kind.DIFFERS, key, text)
    return problems


def _set(settings: DcpSettings, key: str, name: str, value: Any) -> list[Problem]:
    """Set one of our keys, unless its value means that it is not set."""
    field = RunConfig.model_fields[key]
    if field.default in (None, "") and none_if_unset(value) is None:
        return []
    if field.annotation is bool and not isinstance(value, bool):
        word = value.strip().lower() if isinstance(value, str) else None
        if word not in {"true", "false"}:
            place = settings.place(key)
            return [Problem(place, name, "is not a switch", repr(value), "'True', 'False'")]
        value = word == "true"
    settings.values[key] = value
    return []


def _unknown(settings: DcpSettings, name: str, assignment: Assignment, place: str) -> list[Problem]:
    """Handle a name that is not a key: misspelt, a secret, a helper variable, or unused."""
    if name.upper() in SECRETS:
        settings.remarks.append(
            Remark(
                Kind.NO_COUNTERPART,
                place,
                name,
                "dcp never stores keys in files or sends them to machines. Remove it here too, and "
                "name a profile (aws_profile) or an AwsCredentials block (aws_credentials).",
            )
        )
        return []
    if assignment.used or (name in UNUSED and none_if_unset(assignment.value) is None):
        return []
    if name in UNUSED:
        text = f"is not used. {UNUSED[name]}"
        settings.remarks.append(Remark(Kind.NO_COUNTERPART, place, name, text))
        return []
    near = difflib.get_close_matches(name.upper(), [*KEYS, *OLD_NAMES], 1, _NEAR)
    if near:
        return [Problem(place, name, "is not a known key", remedy=f"Did you mean {near[0]}?")]
    text = "is not a key of DCP or dcp; nothing reads it."
    settings.remarks.append(Remark(Kind.NO_COUNTERPART, place, name, text))
    return []
