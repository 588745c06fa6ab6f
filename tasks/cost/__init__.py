"""AWS prices, the machine hours of a run, and its cost so far and in the end.

The estimate before a run is in `tasks.preflight.aws`.
"""
