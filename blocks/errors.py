"""Every error that dcp raises for its reader, and how its text is composed.

    DcpError                  print its text, no traceback: it is written for people
    ├── InputError            what was given is wrong; nothing has been created (exit status 2)
    │   ├── ConfigError       a run config or a fleet template
    │   ├── JobFileError      a job file
    │   ├── NotFound          a file, block, bucket or object that is not there
    │   └── AwsRefused        AWS has no credentials of ours, or refuses them or the action
    ├── FleetError            AWS could not start or keep the machines
    ├── EmulatorError         the emulator of AWS did not start (deployments.local.emulator_client)
    ├── AwsUnreachable        AWS did not answer
    ├── PrefectUnreachable    Prefect's server did not answer
    └── PrefectError          a Prefect server of our own did not start, or a command of it failed
                              (deployments.local.prefect_server)

An `InputError` carries its `Problem`s, so that all mistakes of a file are told at once.
`Refusal` is what a rule raises about one value; the reader of the file makes a `Problem` of it by
adding the file, the key and the value.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what was given.

    Attributes:
        where: The file, address or block that holds it.
        key: The key, dotted and with numbers in brackets counted from 1; may be empty.
        what: What is wrong, without the value.
        got: The value found, as it is shown; empty for secrets and for what is missing.
        allowed: The values allowed.
        remedy: What to do, a sentence.
    """

    where: str
    key: str
    what: str
    got: str = ""
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.key) if part)
        text = f"{place}: {self.what}" if place else self.what
        if self.got:
            text += f", got {self.got}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."


class DcpError(Exception):
    """The base of all; its text says what is wrong and what to do."""


class InputError(DcpError):
    """What was given is wrong; raised before anything is created.

    Attributes:
        problems: All that was found, in the order of the file.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class ConfigError(InputError):
    """A run config or a fleet template is wrong."""


class JobFileError(InputError):
    """A job file is wrong."""


class NotFound(InputError):
    """A file, block, bucket or object is not there."""


class OutOfTime(InputError):
    """A run has used up its max_hours."""


class AwsRefused(InputError):
    """AWS found no credentials, or refused them or the action."""


def no_credentials(
    otherwise: str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
) -> AwsRefused:
    """The error of a call without any AWS credentials.

    Args:
        otherwise: Another way to name them, where there is one.
    """
    remedy = f'Run "aws configure", set AWS_PROFILE, or {otherwise}.'
    return AwsRefused(Problem("", "", "No AWS credentials found", remedy=remedy))


class AwsUnreachable(DcpError):
    """AWS did not answer: no connection, or no such endpoint."""


class PrefectUnreachable(DcpError):
    """Prefect's server did not answer, so nothing is known of the block that was to be loaded."""


class FleetError(DcpError):
    """AWS could not start or keep the machines of a run."""


class Refusal(ValueError):
    """One value breaks a rule; the file and the value are added by who reads the file.

    Attributes:
        key: The key it is about, when the rule is about several.
        what: What is wrong.
        got: The value as it is shown, when it is another than the key's own.
        allowed: The values allowed.
        remedy: What to do, a sentence.
    """

    def __init__(
        self, what: str, *, key: str = "", got: str = "", allowed: str = "", remedy: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.key, self.got, self.allowed, self.remedy = what, key, got, allowed, remedy

    def at(self, where: str, key: str = "", got: str = "") -> Problem:
        """The problem this is, at a place in a file."""
        return Problem(
            where, self.key or key, self.what, self.got or got, self.allowed, self.remedy
        )

    def at_key(self, key: str, got: str = "") -> "Refusal":
        """The same refusal, about a key of a larger whole."""
        return Refusal(
            self.what,
            key=self.key or key,
            got=self.got or got,
            allowed=self.allowed,
            remedy=self.remedy,
        )

    def __str__(self) -> str:
        return str(self.at(""))


class Refusals(ValueError):
    """Several refusals found in one look at a whole model."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in self.refusals))
