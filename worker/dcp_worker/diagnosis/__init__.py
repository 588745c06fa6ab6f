"""Why a job failed: the closed set of reasons, and how one is found in the evidence.

Nothing here makes a call or imports another room; what becomes of a failed job is in `slot`.
"""
