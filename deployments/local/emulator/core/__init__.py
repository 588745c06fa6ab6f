"""State, settings and fault switches of the emulator, and the processes that stand for containers.

Every service uses it; no action of an AWS API is implemented here.
"""
