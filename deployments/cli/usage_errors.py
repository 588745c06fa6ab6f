"""What is said of a command line that cannot be parsed."""

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnusedCliTokensError
from cyclopts.exceptions import ValidationError

if TYPE_CHECKING:
    from cyclopts.argument import Argument
    from rich.text import Text


def refuse_empty(_: Any, value: Any) -> None:
    """Refuse an empty text, as a script passes it when a variable of its own is empty.

    Raises:
        ValueError: The value is empty, or one of several is.
    """
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise ValueError("is empty; give a value, or leave the option out")


def explain(error: CycloptsError) -> "Text":
    """An error of the command line as a text that says what to do."""
    from rich.text import Text

    command = " ".join(("dcp", *(error.command_chain or ())))
    return Text(f"{_what(error)} See {command} --help.")


def _what(error: CycloptsError) -> str:
    error.verbose = False
    if isinstance(error, UnknownCommandError):
        return _unknown_command(error)
    if isinstance(error, UnusedCliTokensError):
        return _unexpected(error)
    if isinstance(error, MissingArgumentError):
        return f"{error.keyword} needs a value." if error.keyword else _missing(error)
    if isinstance(error, ValidationError) and error.argument:
        token = next(iter(error.argument.tokens), None)
        return f"{(token and token.keyword) or error.argument.name}: {error.exception_message}."
    return str(error)


def _unknown_command(error: UnknownCommandError) -> str:
    import difflib

    word = (error.unused_tokens or [""])[0]
    known = sorted(name for name in error.app or () if not name.startswith("-"))
    near = difflib.get_close_matches(word, known, 1)
    return (
        f'Unknown {"option" if word.startswith("-") else "command"} "{word}".'
        + (f' Did you mean "{near[0]}"?' if near else "")
        + f" Commands: {', '.join(known)}."
    )


def _missing(error: MissingArgumentError) -> str:
    """All that is missing, not only what was noticed first."""
    typed = [token.partition("=")[0] for token in error.root_input_tokens or ()]
    arguments = error.app.assemble_argument_collection() if error.app else ()
    required = [one for one in arguments if one.required and not {*one.names} & {*typed}]
    options = [one.name for one in required if one.name.startswith("-")]
    if options:
        return f"Missing option{'s' if len(options) > 1 else ''}: {', '.join(options)}."
    return f"Missing argument: {error.argument.name if error.argument else ''}."


def _unexpected(error: UnusedCliTokensError) -> str:
    """A word too many: often one of several values after one option."""
    word = (error.unused_tokens or [""])[0]
    text = f'Unexpected argument "{word}"'
    arguments = error.app.assemble_argument_collection() if error.app else ()
    positional = [one for one in arguments if one.index is not None]
    typed = list(error.root_input_tokens or ())[len(error.command_chain or ()) :]
    loose, option, values = _loose(typed, {name: one for one in arguments for name in one.names})
    if len(positional) != 1 or not loose:
        return f"{text}."
    text += f': {positional[0].name} is already "{loose[0]}".'
    if option:
        # Where APP was taken from among the values, the last of them is what was meant as APP.
        meant = values[:-1] if loose[0] in values else values
        each = " ".join(f"{option} {shlex.quote(value)}" for value in meant)
        text += f" Give one value per option: {each}."
    return text


def _loose(
    typed: Iterable[str], named: "Mapping[str, Argument]"
) -> tuple[list[str], str, list[str]]:
    """The words of no option; and an option that may be repeated, with all words after it."""
    loose: list[str] = []
    followed: list[tuple[str, list[str]]] = [("", [])]
    for token in typed:
        if token.startswith("-"):
            followed.append((token, []))
            continue
        option, values = followed[-1]
        values.append(token)
        known = named.get(option)
        if known is None or known.is_flag() or len(values) > 1:
            loose.append(token)
    several = (
        (option, values)
        for option, values in followed
        if len(values) > 1 and option in named and named[option].token_count()[1]
    )
    return loose, *next(several, ("", []))
