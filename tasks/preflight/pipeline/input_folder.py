"""CellProfiler's default input folder: what the pipeline reads there, and what is below `input`."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from blocks.errors import Problem
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.parser import Pipeline

MOST_OBJECTS = 1000
MOST_BYTES = 2**30
"""Beyond these the workers leave the default input folder empty: it is for files of a pipeline."""

_NO_FOLDERS = ("", ".", "None")


@dataclass(frozen=True)
class InputFolder:
    """What lies below a job's `input`.

    Attributes:
        names: The keys below it, of at most a few more than the workers take.
        size: All together, in bytes.
    """

    names: Collection[str]
    size: int

    @property
    def too_large(self) -> bool:
        """Whether the workers leave the folder empty."""
        return len(self.names) > MOST_OBJECTS or self.size > MOST_BYTES


def findings(
    folder: InputFolder, prefix: str, where: str, pipeline: Pipeline, pipeline_key: str
) -> Iterator[Finding]:
    """What is wrong with the default input folder. Pure.

    Args:
        folder: What lies there.
        prefix: The job file's `input`; may be empty.
        where: The job file's name.
        pipeline: The pipeline.
        pipeline_key: Its key.
    """
    if prefix and not folder.names:
        yield Finding(
            "warning",
            "input_empty",
            Problem(
                where,
                "input",
                "there is nothing below it, in the workspace bucket and in that of the images",
                got=repr(prefix),
                remedy="Correct it, or leave it empty.",
            ),
        )
        return
    reads = list(files_of(pipeline))
    if folder.too_large:
        yield Finding(
            "error" if reads else "warning",
            "input_large",
            Problem(
                where,
                "input",
                "it is too large to be copied for every job, so the folder stays empty",
                got=f"{len(folder.names)} objects or more, {folder.size / 1e6:.0f} MB",
                allowed=f"at most {MOST_OBJECTS} objects and 1 GB",
                remedy="Name a folder that has the pipeline's own files and no images.",
            ),
        )
        return
    for module, label, name in reads:
        if not prefix:
            yield Finding(
                "error",
                "input_needed",
                Problem(
                    where,
                    "input",
                    f"it is empty, and {module} of the pipeline reads {name} from the default "
                    "input folder",
                    remedy="Write the prefix of the folder that holds the file.",
                ),
            )
        elif name not in folder.names:
            yield Finding(
                "error",
                "input_file_missing",
                Problem(
                    pipeline_key,
                    module,
                    f"'{label}' names a file that is not below input",
                    got=f"{prefix.strip('/')}/{name}",
                    remedy="Copy it there, or correct the pipeline.",
                ),
            )


def elsewhere(pipeline: Pipeline, pipeline_key: str) -> Iterator[Finding]:
    """Files that the pipeline reads from folders which no machine of the run has. Pure."""
    for module in pipeline.active():
        for file in cellprofiler_modules.files_asked(module):
            choice, _, path = file.folder.partition("|")
            if choice == "Elsewhere...":
                yield Finding(
                    "error",
                    "file_elsewhere",
                    Problem(
                        pipeline_key,
                        str(module),
                        f"'{file.label}' names a file in a folder that no machine of the run has",
                        got=f"{path.rstrip('/')}/{file.name}",
                        remedy="Put it below input, and choose the Default Input Folder.",
                    ),
                )


def files_of(pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    """Module, setting and path of each file that is read from the default input folder. Pure."""
    for module in pipeline.active():
        for file in cellprofiler_modules.files_asked(module):
            choice, _, path = file.folder.partition("|")
            if choice.startswith("Default Input Folder"):
                sub = "" if path in _NO_FOLDERS or not choice.endswith("sub-folder") else path
                whole = f"{sub.strip('/')}/{file.name}" if sub else file.name
                yield str(module), file.label, whole
