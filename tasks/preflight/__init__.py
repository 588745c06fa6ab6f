"""Checks before anything is created in AWS: facts first, then the findings about them.

Nothing here creates or changes anything.
"""
