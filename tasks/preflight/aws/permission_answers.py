"""What AWS answers when it is asked whether a run may do what it will do."""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.errors import Problem
from tasks.preflight.finding import Finding


@dataclass(frozen=True)
class Refusal:
    """An action that AWS will refuse.

    Attributes:
        action: Such as `sqs:CreateQueue`.
        resource: Its ARN, or `*`.
        step: The step that needs it.
        sure: Whether nothing that was not looked at can allow it.
        needed: Whether the run cannot be without it.
        why: What AWS says about it.
    """

    action: str
    resource: str
    step: str
    sure: bool = True
    needed: bool = True
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """What AWS answered.

    Attributes:
        refused: What it will refuse.
        allowed: Actions that a dry run has shown to be allowed.
        notes: What could not be asked.
    """

    refused: tuple[Refusal, ...] = ()
    allowed: frozenset[str] = frozenset()
    notes: tuple[Finding, ...] = ()

    def also(self, other: "Proof") -> "Proof":
        """Both together."""
        return Proof(
            self.refused + other.refused, self.allowed | other.allowed, self.notes + other.notes
        )


def findings(proof: Proof) -> Iterator[Finding]:
    """The refusals, each naming action and resource (pure)."""
    yield from proof.notes
    told: set[tuple[str, str]] = set()
    for one in sorted(proof.refused, key=lambda one: (not one.sure, one.action)):
        if (one.action, one.resource) in told or (one.action in proof.allowed and not one.why):
            continue
        told.add((one.action, one.resource))
        yield Finding(
            "error" if one.sure and one.needed else "warning",
            "permission",
            Problem(
                "AWS credentials",
                f"{one.action} on {one.resource}",
                f"is not allowed, and the step {one.step} "
                + ("needs it" if one.needed else "would use it"),
                got=one.why,
                remedy="Ask the administrator of the account for it (docs/aws.md has the list)."
                if one.sure
                else "Unless a bucket policy or a condition allows it, ask for it.",
            ),
        )
