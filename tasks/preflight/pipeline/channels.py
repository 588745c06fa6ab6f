"""The images that a pipeline asks for, against those that the LoadData CSV names. Pure."""

import difflib
from collections.abc import Collection, Iterator, Sequence

from blocks.errors import Problem
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.cellprofiler_modules import Named
from tasks.preflight.pipeline.parser import Pipeline


def channels_of(columns: Sequence[str]) -> set[str]:
    """The images that LoadData makes of a CSV's columns."""
    prefixes = ("FileName_", "URL_")
    return {
        column[len(prefix) :]
        for column in columns
        for prefix in prefixes
        if column.startswith(prefix)
    }


def findings(
    pipeline: Pipeline, where: str, channels: Collection[str], data_file: str
) -> Iterator[Finding]:
    """Images that no one makes, and channels that no one takes.

    Args:
        pipeline: The pipeline.
        where: Its key.
        channels: The images that the CSV names.
        data_file: The key of the CSV.
    """
    for image, asked in missing(pipeline, channels).items():
        first, more = asked[0], len({named.module.number for named in asked}) - 1
        near = difflib.get_close_matches(image, sorted(channels), 1, 0.5)
        remedy = f"Add the columns FileName_{image} and PathName_{image} to {data_file}"
        yield Finding(
            "error",
            "channel_missing",
            Problem(
                where,
                str(first.module),
                f"'{first.label}' asks for the image {image}, which neither the CSV nor an earlier "
                "module makes" + (f" ({more} more modules ask for it)" if more else ""),
                allowed=f"of the CSV: {', '.join(sorted(channels)) or 'none'}",
                remedy=f"{remedy}, or did you mean {near[0]}?" if near else f"{remedy}.",
            ),
        )
    if not cellprofiler_modules.takes_all_images(pipeline):
        unused = sorted(c for c in channels if not cellprofiler_modules.mentions(pipeline, c))
        if unused:
            yield Finding(
                "note",
                "channel_unused",
                Problem(
                    data_file,
                    f"FileName_{unused[0]}",
                    "the pipeline does not use channels of the CSV, which are fetched all the same",
                    got=", ".join(unused),
                ),
            )


def missing(pipeline: Pipeline, channels: Collection[str]) -> dict[str, list[Named]]:
    """Image -> the settings that ask for it, of those that are not there by then."""
    there = set(channels)
    found: dict[str, list[Named]] = {}
    for module in pipeline.active():
        for asked in cellprofiler_modules.images_asked(module):
            if asked.name not in there:
                found.setdefault(asked.name, []).append(asked)
        there |= cellprofiler_modules.images_made(module)
    return found
