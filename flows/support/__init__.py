"""What flows share: how a flow is made, its parameters, child runs, restarts, cost approval.

No flow is defined here; `flows.lifecycle` has what the flows of a run have in common.
"""
