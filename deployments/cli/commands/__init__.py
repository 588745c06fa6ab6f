"""The commands of `dcp`, one a module, each a function that returns its exit status.

A command's docstring is its help. A module imports at its top only what the help needs; what works
on a run (AWS, Prefect) is imported by the function, so that `dcp --help` answers at once and
Prefect, which reads its settings when it is imported, is loaded only by commands that talk to it.
"""
