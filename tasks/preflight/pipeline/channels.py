"""Compares the images that a pipeline needs with those that the LoadData CSV names. Pure."""

import difflib
from collections.abc import Collection, Iterator, Sequence

from blocks.errors import Problem
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.cellprofiler_modules import NamingSetting
from tasks.preflight.pipeline.parser import Pipeline


def channels_of(columns: Sequence[str]) -> set[str]:
    """The image names that LoadData derives from a CSV's columns."""
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
    """Images that nothing provides, and channels that nothing uses.

    Args:
        pipeline: The pipeline.
        where: Its key.
        channels: The images that the CSV names.
        data_file: The key of the CSV.
    """
    for image, settings in missing(pipeline, channels).items():
        first, more = settings[0], len({setting.module.number for setting in settings}) - 1
        others = f" ({more} more module{'s need' if more > 1 else ' needs'} it)" if more else ""
        near = difflib.get_close_matches(image, sorted(channels), 1, 0.5)
        remedy = f"Add the columns FileName_{image} and PathName_{image} to {data_file}"
        yield Finding(
            "error",
            "channel_missing",
            Problem(
                where,
                str(first.module),
                f"'{first.label}' needs the image {image}, but neither the CSV nor an earlier "
                f"module provides it{others}",
                allowed=f"images of the CSV: {', '.join(sorted(channels)) or 'none'}",
                remedy=f"{remedy}, or did you mean {near[0]}?" if near else f"{remedy}.",
            ),
        )
    if not cellprofiler_modules.uses_all_images(pipeline):
        unused = sorted(c for c in channels if not cellprofiler_modules.mentions(pipeline, c))
        if unused:
            yield Finding(
                "note",
                "channel_unused",
                Problem(
                    data_file,
                    f"FileName_{unused[0]}",
                    "the pipeline does not use some channels of the CSV; workers still fetch them",
                    got=", ".join(unused),
                ),
            )


def missing(pipeline: Pipeline, channels: Collection[str]) -> dict[str, list[NamingSetting]]:
    """Image -> the settings that need it, for images that do not exist at that point."""
    available = set(channels)
    missing_images: dict[str, list[NamingSetting]] = {}
    for module in pipeline.active():
        for setting in cellprofiler_modules.images_needed(module):
            if setting.name not in available:
                missing_images.setdefault(setting.name, []).append(setting)
        available |= cellprofiler_modules.images_created(module)
    return missing_images
