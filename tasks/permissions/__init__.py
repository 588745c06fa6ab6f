"""Which IAM permissions the flows need, and the IAM actions of API operations. Data.

Policies of an account are in `tasks.account`; preflight checks permissions in
`tasks.preflight.aws`.
"""
