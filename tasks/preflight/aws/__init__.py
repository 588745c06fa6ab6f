"""Checks that ask the AWS account: machines, quotas, permissions, regions, cost.

Checks of buckets and their objects are in `tasks.preflight.data`.
"""
