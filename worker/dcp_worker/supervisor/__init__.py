"""The container's main process: starts the slots, replaces those that die, stops them all.

It holds no message and runs no job; `slot` does.
"""
