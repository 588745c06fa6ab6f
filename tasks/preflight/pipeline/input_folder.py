"""CellProfiler's default input folder: files that the pipeline reads, and files below `input`."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from blocks.errors import Problem
from tasks.preflight.finding import Finding
from tasks.preflight.pipeline import cellprofiler_modules
from tasks.preflight.pipeline.parser import Pipeline

MOST_OBJECTS = 1000
MOST_BYTES = 2**30
"""Above these, workers leave the default input folder empty: it is for a pipeline's own files."""

_NO_FOLDERS = ("", ".", "None")


@dataclass(frozen=True)
class InputFolder:
    """The files below a job's `input`.

    Attributes:
        names: Their keys; the listing stops shortly above the workers' limit.
        size: Total size in bytes.
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
        folder: Its files.
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
                "has no files, neither in the workspace bucket nor in the images' bucket",
                got=repr(prefix),
                remedy="Correct the prefix, or leave it empty.",
            ),
        )
        return
    files = list(default_input_files(pipeline))
    if folder.too_large:
        yield Finding(
            "error" if files else "warning",
            "input_large",
            Problem(
                where,
                "input",
                "is too large to copy for every job, so workers leave the input folder empty",
                got=f"at least {len(folder.names)} objects, {folder.size / 1e6:.0f} MB",
                allowed=f"at most {MOST_OBJECTS} objects and 1 GB",
                remedy="Name a folder with the pipeline's own files and no images.",
            ),
        )
        return
    for module, label, name in files:
        if not prefix:
            yield Finding(
                "error",
                "input_needed",
                Problem(
                    where,
                    "input",
                    f"is empty, but {module} of the pipeline reads {name} from the default "
                    "input folder",
                    remedy="Set it to the prefix of the folder with the file.",
                ),
            )
        elif name not in folder.names:
            yield Finding(
                "error",
                "input_file_missing",
                Problem(
                    pipeline_key,
                    module,
                    f"'{label}' names a file that does not exist below input",
                    got=f"{prefix.strip('/')}/{name}",
                    remedy="Upload it, or correct the pipeline.",
                ),
            )


def elsewhere(pipeline: Pipeline, pipeline_key: str) -> Iterator[Finding]:
    """Files that the pipeline reads from folders that do not exist on the machines. Pure."""
    for module in pipeline.active():
        for file in cellprofiler_modules.files_needed(module):
            choice, _, path = file.folder.partition("|")
            if choice == "Elsewhere...":
                yield Finding(
                    "error",
                    "file_elsewhere",
                    Problem(
                        pipeline_key,
                        str(module),
                        f"'{file.label}' names a file in a folder that does not exist on the "
                        "machines",
                        got=f"{path.rstrip('/')}/{file.name}",
                        remedy="Upload it below input, and choose the Default Input Folder.",
                    ),
                )


def default_input_files(pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    """Module, setting and path of each file in the default input folder. Pure."""
    for module in pipeline.active():
        for file in cellprofiler_modules.files_needed(module):
            choice, _, path = file.folder.partition("|")
            if choice.startswith("Default Input Folder"):
                sub = "" if path in _NO_FOLDERS or not choice.endswith("sub-folder") else path
                full_path = f"{sub.strip('/')}/{file.name}" if sub else file.name
                yield str(module), file.label, full_path
