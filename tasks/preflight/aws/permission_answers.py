"""AWS's answers about the permissions of a run."""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.errors import Problem
from tasks.preflight.finding import Finding


@dataclass(frozen=True)
class Refusal:
    """An action that AWS will deny.

    Attributes:
        action: Such as `sqs:CreateQueue`.
        resource: Its ARN, or `*`.
        step: The step that needs it.
        sure: Whether nothing unchecked (bucket policy, condition) can still allow it.
        needed: Whether the run needs it.
        why: AWS's explanation.
    """

    action: str
    resource: str
    step: str
    sure: bool = True
    needed: bool = True
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """AWS's answers.

    Attributes:
        refused: Actions that it will deny.
        allowed: Actions that a dry run proved to be allowed.
        notes: Checks that failed.
    """

    refused: tuple[Refusal, ...] = ()
    allowed: frozenset[str] = frozenset()
    notes: tuple[Finding, ...] = ()

    def also(self, other: "Proof") -> "Proof":
        """Both proofs combined."""
        return Proof(
            self.refused + other.refused, self.allowed | other.allowed, self.notes + other.notes
        )


def findings(proof: Proof) -> Iterator[Finding]:
    """One finding per denied action and resource (pure)."""
    yield from proof.notes
    reported: set[tuple[str, str]] = set()
    for refusal in sorted(proof.refused, key=lambda refusal: (not refusal.sure, refusal.action)):
        action, resource = refusal.action, refusal.resource
        if (action, resource) in reported or (action in proof.allowed and not refusal.why):
            continue
        reported.add((action, resource))
        yield Finding(
            "error" if refusal.sure and refusal.needed else "warning",
            "permission",
            Problem(
                "AWS credentials",
                f"{action} on {resource}",
                f"is not allowed, but the step {refusal.step} "
                + ("needs it" if refusal.needed else "would use it"),
                got=refusal.why,
                remedy="Request it from the account's administrator (list: docs/aws.md)."
                if refusal.sure
                else "Request it, unless a bucket policy or a condition allows it.",
            ),
        )
