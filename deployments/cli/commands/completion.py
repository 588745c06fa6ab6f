"""`dcp --install-completion`: shell completion of dcp's commands."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from deployments.exit_status import ExitStatus


def install_completion(
    app: App,
    /,
    *,
    shell: Literal["bash", "fish", "zsh"] | None = None,
    output: Annotated[Path | None, Parameter(metavar="FILE")] = None,
) -> int:
    """Make the shell complete commands, options and file names.

    Exit status: 0 completion works in new shells, 2 a file could not be written or the shell is
    unknown.

    Args:
        app: the application whose commands are completed
        shell: the shell (default: the current one)
        output: file to write the completion to (default: the shell's own)
    """
    from cyclopts.completion.detect import ShellDetectionError, detect_shell
    from cyclopts.completion.install import create_install_completion_command

    from blocks.errors import InputError, Problem

    try:
        chosen = shell or detect_shell()
        create_install_completion_command(partial(_install, app), True)(shell=chosen, output=output)
    except ShellDetectionError as error:
        allowed = "bash, fish, zsh"
        raise InputError(Problem("--shell", "", "is missing", allowed=allowed)) from error
    except OSError as error:
        place, cause = error.filename or output or "the completion", error.strerror or error
        raise InputError(Problem("", "", f"Could not write {place}: {cause}")) from error
    return ExitStatus.OK


def _install(app: App, **options: Any) -> Path:
    path = app.install_completion(**options)
    if options["shell"] == "bash":
        # With this option, a folder is completed with a slash, and then its content.
        text = path.read_text().replace("complete -F", "complete -o filenames -F")
        path.write_text(text)
    return path
