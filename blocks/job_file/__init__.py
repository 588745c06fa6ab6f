"""The job file: its fields, rules and standard steps, and the sets of jobs that it expands to.

Nothing here reads files or calls AWS; groups from a LoadData CSV are made in `tasks.jobs`.
"""
