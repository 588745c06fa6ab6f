"""The report of a run: job table, statistics, plate maps, failures with remedies, and retries.

Result records are read in `tasks.jobs`; progress while a run goes on is in `tasks.monitor`.
"""
