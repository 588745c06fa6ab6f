"""Checks before the start, one concern per file: first the facts, then the findings."""
