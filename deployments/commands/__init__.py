"""The commands of `dcp`, one a module.

Each module has `add_to(commands)`: it adds its parser and sets, as the parser's default `call`, the
function that does the command and returns the exit status. Prefect reads its settings when it is
imported: a module imports what needs it only in that function.
"""
