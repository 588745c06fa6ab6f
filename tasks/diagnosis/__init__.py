"""Why machines or containers do not start: evidence from AWS, and a pure diagnosis of it.

Why jobs fail is in `tasks.report`.
"""
