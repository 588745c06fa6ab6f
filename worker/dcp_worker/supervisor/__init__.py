"""The container's main process: it starts the slots, replaces those that die, and ends them all.

It holds no message and runs no job: that is `slot`.
"""
