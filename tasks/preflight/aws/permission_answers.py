"""AWS's answers about the permissions of a run."""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.errors import Problem
from tasks.preflight.finding import Finding


@dataclass(frozen=True)
class Denial:
    """An action that AWS will deny.

    Attributes:
        action: Such as `sqs:CreateQueue`.
        resource: Its ARN, or `*`.
        step: The step that needs it.
        certain: Whether nothing unchecked (bucket policy, condition) can still allow it.
        needed: Whether the run needs it.
        why: AWS's explanation.
    """

    action: str
    resource: str
    step: str
    certain: bool = True
    needed: bool = True
    why: str = ""


@dataclass(frozen=True)
class PermissionAnswers:
    """AWS's answers.

    Attributes:
        denied: Actions that it will deny.
        allowed: Actions that a dry run proved to be allowed.
        notes: Checks that failed.
    """

    denied: tuple[Denial, ...] = ()
    allowed: frozenset[str] = frozenset()
    notes: tuple[Finding, ...] = ()

    def merged_with(self, other: "PermissionAnswers") -> "PermissionAnswers":
        """Both proofs combined."""
        return PermissionAnswers(
            self.denied + other.denied, self.allowed | other.allowed, self.notes + other.notes
        )


def findings(answers: PermissionAnswers) -> Iterator[Finding]:
    """One finding per denied action and resource (pure)."""
    yield from answers.notes
    reported: set[tuple[str, str]] = set()
    for denial in sorted(answers.denied, key=lambda denial: (not denial.certain, denial.action)):
        action, resource = denial.action, denial.resource
        if (action, resource) in reported or (action in answers.allowed and not denial.why):
            continue
        reported.add((action, resource))
        yield Finding(
            "error" if denial.certain and denial.needed else "warning",
            "permission",
            Problem(
                "AWS credentials",
                f"{action} on {resource}",
                f"is not allowed, but the step {denial.step} "
                + ("needs it" if denial.needed else "would use it"),
                got=denial.why,
                remedy="Request it from the account's administrator (list: docs/aws.md)."
                if denial.certain
                else "Request it, unless a bucket policy or a condition allows it.",
            ),
        )
