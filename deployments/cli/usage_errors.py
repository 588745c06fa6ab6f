"""Error messages for a command line that cannot be parsed."""

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnusedCliTokensError
from cyclopts.exceptions import ValidationError

if TYPE_CHECKING:
    from cyclopts.argument import Argument
    from rich.text import Text


def refuse_empty(_: Any, value: Any) -> None:
    """Refuse an empty text, which a script passes if one of its variables is empty.

    Raises:
        ValueError: The value, or one of several, is empty.
    """
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise ValueError("is empty; pass a value, or omit the option")


def explain(error: CycloptsError) -> "Text":
    """An error of the command line as a text with the remedy."""
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
    commands = sorted(name for name in error.app or () if not name.startswith("-"))
    near = difflib.get_close_matches(word, commands, 1)
    return (
        f'Unknown {"option" if word.startswith("-") else "command"} "{word}".'
        + (f' Did you mean "{near[0]}"?' if near else "")
        + f" Commands: {', '.join(commands)}."
    )


def _missing(error: MissingArgumentError) -> str:
    """All missing options, not only the first."""
    typed = [token.partition("=")[0] for token in error.root_input_tokens or ()]
    arguments = error.app.assemble_argument_collection() if error.app else ()
    missing = [arg for arg in arguments if arg.required and not {*arg.names} & {*typed}]
    options = [arg.name for arg in missing if arg.name.startswith("-")]
    if options:
        return f"Missing option{'s' if len(options) > 1 else ''}: {', '.join(options)}."
    return f"Missing argument: {error.argument.name if error.argument else ''}."


def _unexpected(error: UnusedCliTokensError) -> str:
    """An unexpected word, which is often one of several values after one option."""
    word = (error.unused_tokens or [""])[0]
    text = f'Unexpected argument "{word}"'
    arguments = error.app.assemble_argument_collection() if error.app else ()
    positional = [arg for arg in arguments if arg.index is not None]
    typed = list(error.root_input_tokens or ())[len(error.command_chain or ()) :]
    loose, option, values = _loose(typed, {name: arg for arg in arguments for name in arg.names})
    if len(positional) != 1 or not loose:
        return f"{text}."
    text += f': {positional[0].name} is already "{loose[0]}".'
    if option:
        # If the parser took one of the values as APP, the last value was intended as APP.
        intended = values[:-1] if loose[0] in values else values
        each = " ".join(f"{option} {shlex.quote(value)}" for value in intended)
        text += f" Repeat the option for several values: {each}."
    return text


def _loose(
    typed: Iterable[str], named: "Mapping[str, Argument]"
) -> tuple[list[str], str, list[str]]:
    """The words without an option; and a repeatable option, with all words after it."""
    loose: list[str] = []
    followed: list[tuple[str, list[str]]] = [("", [])]
    for token in typed:
        if token.startswith("-"):
            followed.append((token, []))
            continue
        option, values = followed[-1]
        values.append(token)
        argument = named.get(option)
        if argument is None or argument.is_flag() or len(values) > 1:
            loose.append(token)
    several = (
        (option, values)
        for option, values in followed
        if len(values) > 1 and option in named and named[option].token_count()[1]
    )
    return loose, *next(several, ("", []))
