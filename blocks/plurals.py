"""Counts in messages: `1 job`, `2 jobs`."""


def plural(number: int, noun: str) -> str:
    """A count with its noun, in the plural unless there is exactly one.

    Args:
        number: The count.
        noun: The noun in the singular; its last word gets the s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
