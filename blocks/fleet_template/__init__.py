"""The fleet template, and the checks of a Spot Fleet request that it may hold.

Requests to EC2 are in `tasks.fleet`; the translation of DCP's fleet files is in
`blocks.dcp_compat`.
"""
