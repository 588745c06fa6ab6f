"""AWS clients, the meaning of AWS errors, retries, and concurrent or batched calls.

Nothing here knows what a run is.
"""
