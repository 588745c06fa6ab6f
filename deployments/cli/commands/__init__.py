"""The commands of `dcp`, one per module, each a function that returns its exit status.

A command's docstring is its help. At its top, a module imports only what the help needs. The
function imports the rest (AWS, Prefect), so that `dcp --help` answers at once. Prefect reads its
settings on import, so only commands that call it import it.
"""
