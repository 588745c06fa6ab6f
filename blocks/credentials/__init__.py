"""Who calls AWS, and boto3 sessions for that identity.

Clients with dcp's retries are made in `tasks.aws`.
"""
