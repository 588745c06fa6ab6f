"""The group of a job: its metadata, and the output folder derived from it. Pure.

The worker has its own code for the same rules; both are tested against the examples in
docs/contract.schema.json.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from blocks.errors import Refusal

Pairs = tuple[tuple[str, str], ...]
"""The metadata of a group: keys and values, in order."""

_FORM = "Metadata_Plate=P1,Metadata_Well=A01"


def parse_metadata(metadata: object) -> Pairs:
    """The keys and values of a group, from `K=V,K=V` or a mapping.

    Raises:
        Refusal: CellProfiler cannot read it, or it could point outside the output folder.
    """
    if isinstance(metadata, str):
        pairs = tuple(_pair(part, metadata) for part in metadata.split(","))
    elif isinstance(metadata, Mapping):
        pairs = tuple((key, value) for key, value in metadata.items())
    else:
        raise Refusal("is neither a text nor a mapping", allowed=f"{_FORM!r}")
    if not pairs:
        raise Refusal("is empty", allowed=f"{_FORM!r}")
    for key, value in pairs:
        _check_key(key)
        check_value(key, value)
    if len({key for key, _ in pairs}) < len(pairs):
        raise Refusal("has a key twice", allowed="each key once")
    return pairs


def _pair(part: str, metadata: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not part.strip():
        raise Refusal("has an empty part" if metadata.strip() else "is empty", allowed=f"{_FORM!r}")
    if part != part.strip():
        tidy = ",".join(piece.strip() for piece in metadata.split(","))
        raise Refusal(
            "has a space next to a comma, at the start or at the end", remedy=f"Write {tidy!r}."
        )
    if not equals:
        raise Refusal(f"has {part!r} without =", allowed=f"{_FORM!r}")
    return key, value


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key or key != key.strip() or key.startswith("-"):
        raise Refusal(f"has the key {key!r}", allowed="names such as Metadata_Plate")
    if bad := _forbidden(key):
        raise Refusal(f"has {bad!r} in the key {key!r}", allowed="names such as Metadata_Plate")


def check_value(key: str, value: object) -> None:
    """Check the value of a key of a group.

    Raises:
        Refusal: CellProfiler cannot read it, or it could point outside the output folder.
    """
    if not isinstance(value, str):
        raise Refusal(f"has a {key} that is not text", remedy="Write it in quotes.")
    if not value:
        raise Refusal(f"has no value for {key}")
    if value != value.strip():
        raise Refusal(
            f"has a space at the start or end of {key}", remedy=f"Write {value.strip()!r}."
        )
    if value in {".", ".."}:
        raise Refusal(f"has {value!r} as {key}", remedy="It would point outside the output folder.")
    if bad := _forbidden(value):
        why = "It is part of the output folder's name." if bad == "/" else ""
        raise Refusal(f"has {bad!r} in {key}", allowed="no = , / and line breaks", remedy=why)


def _forbidden(text: str) -> str:
    """The first character that no key or value may contain; empty if there is none."""
    if text.isprintable() and not ("=" in text or "," in text or "/" in text):
        return ""
    return next(char for char in text if char in "=,/" or not char.isprintable())


def metadata_text(pairs: Pairs) -> str:
    """The group as an argument of CellProfiler's `-g`."""
    return ",".join(f"{key}={value}" for key, value in pairs)


def metadata_id(pairs: Pairs, output_structure: str) -> str:
    """The folders of a group below the output folder, without a slash at either end.

    Without a structure, the values joined by `-`; with one, the structure with every whole key
    replaced by its value, in one pass.

    Raises:
        Refusal: The structure points outside the output folder, or names no folder.
    """
    if not output_structure:
        return "-".join(value for _, value in pairs)
    values = dict(pairs)
    pattern = _keys_pattern(tuple(values))
    return joined(pattern.sub(lambda match: values[match[0]], output_structure))


def keys_in(output_structure: str, keys: Iterable[str]) -> set[str]:
    """The keys of the groups that occur in a structure."""
    return set(_keys_pattern(tuple(keys)).findall(output_structure))


def strays_in(output_structure: str, keys: Iterable[str]) -> list[str]:
    """Apparent metadata keys in a structure that the groups do not have."""
    rest = _keys_pattern(tuple(keys)).sub("", output_structure)
    return re.findall(r"Metadata_[A-Za-z0-9]+", rest)


@lru_cache(maxsize=64)
def _keys_pattern(keys: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern for any of the keys as a whole word, the longest first."""
    longest_first = sorted(keys, key=len, reverse=True)
    choice = "|".join(re.escape(key) for key in longest_first)
    return re.compile(rf"(?<![^\W_])(?:{choice})(?![^\W_])")


def joined(*paths: str) -> str:
    """The joined paths, without empty parts.

    Raises:
        Refusal: A part is `.` or `..`, or all parts are empty.
    """
    parts = [part for path in paths for part in path.split("/") if part]
    if not parts:
        raise Refusal("names no folder")
    if bad := {".", ".."}.intersection(parts):
        raise Refusal(f"has the part {min(bad)!r}", remedy="Write the folders themselves.")
    return "/".join(parts)
