"""Checks before the start, one concern a file: facts first, then the findings about them."""
