"""The IAM permissions that the flows need. Data.

Policies of an account are in `tasks.account`; preflight checks permissions in
`tasks.preflight.aws`.
"""
