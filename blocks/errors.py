"""All errors that dcp raises for people to read, and the form of their texts.

    DcpError                  print its text without a traceback: it is written for people
    ├── InputError            the input is wrong; nothing has been created (exit status 2)
    │   ├── ConfigError       a run config or a fleet template
    │   ├── JobFileError      a job file
    │   ├── NotFound          a file, block, bucket or object does not exist
    │   └── AwsRefused        no AWS credentials, or AWS denies access or the action
    ├── FleetError            AWS could not launch or keep the machines
    ├── EmulatorError         the emulator of AWS did not start (deployments.local.emulator_client)
    ├── AwsUnreachable        AWS did not answer
    ├── PrefectUnreachable    Prefect's server did not answer
    └── PrefectError          dcp's own Prefect server did not start, or a Prefect command failed
                              (deployments.local.prefect_server)

An `InputError` carries its `Problem`s, so that it reports all mistakes of a file at once. A rule
raises a `Refusal` about one value; the code that reads the file turns it into a `Problem` with the
file, the key and the value.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake in the input.

    Attributes:
        where: The file, address or block with the mistake.
        key: The dotted key, with numbers in brackets counted from 1; may be empty.
        mistake: What is wrong, without the value.
        got: The value as shown to the user; empty for secrets and for missing keys.
        allowed: The allowed values.
        remedy: What to do, as a sentence.
    """

    where: str
    key: str
    mistake: str
    got: str = ""
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.key) if part)
        text = f"{place}: {self.mistake}" if place else self.mistake
        if self.got:
            text += f", got {self.got}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."


class DcpError(Exception):
    """The base of all errors; its text says what is wrong and what to do."""


class InputError(DcpError):
    """The input is wrong; raised before anything is created.

    Attributes:
        problems: All mistakes, in the order of the file.
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
    """A file, block, bucket or object does not exist."""


class OutOfTime(InputError):
    """A run has used all of its max_hours."""


class AwsRefused(InputError):
    """There are no AWS credentials, or AWS denied access or the action."""


def no_credentials(
    otherwise: str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
) -> AwsRefused:
    """The error of a call without AWS credentials.

    Args:
        otherwise: Another way to provide them, as the end of a sentence.
    """
    remedy = f'Run "aws configure", set AWS_PROFILE, or {otherwise}.'
    return AwsRefused(Problem("", "", "No AWS credentials found", remedy=remedy))


class AwsUnreachable(DcpError):
    """AWS did not answer: no connection, or no such endpoint."""


class PrefectUnreachable(DcpError):
    """Prefect's server did not answer, so a block could not be loaded."""


class FleetError(DcpError):
    """AWS could not launch or keep the machines of a run."""


class Refusal(ValueError):
    """One value breaks a rule; the code that reads the file adds the file and the value.

    Attributes:
        key: The key with the mistake, if the rule covers several keys.
        mistake: What is wrong.
        got: The value as shown to the user, if it is not the key's own.
        allowed: The allowed values.
        remedy: What to do, as a sentence.
    """

    def __init__(
        self, mistake: str, *, key: str = "", got: str = "", allowed: str = "", remedy: str = ""
    ) -> None:
        super().__init__(mistake)
        self.mistake, self.key, self.got, self.allowed, self.remedy = (
            mistake,
            key,
            got,
            allowed,
            remedy,
        )

    def at(self, where: str, key: str = "", got: str = "") -> Problem:
        """This refusal as a problem at a place in a file."""
        return Problem(
            where, self.key or key, self.mistake, self.got or got, self.allowed, self.remedy
        )

    def at_key(self, key: str, got: str = "") -> "Refusal":
        """The same refusal for a key of an enclosing document."""
        return Refusal(
            self.mistake,
            key=self.key or key,
            got=self.got or got,
            allowed=self.allowed,
            remedy=self.remedy,
        )

    def __str__(self) -> str:
        return str(self.at(""))


class Refusals(ValueError):
    """Several refusals from the check of one model."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in self.refusals))
