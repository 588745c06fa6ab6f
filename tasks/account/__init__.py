"""What an AWS account needs once: roles, policies, log and bucket policies, safety net, work pool.

Runs of an account are in `tasks.account_runs`.
"""
