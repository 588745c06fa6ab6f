"""The machines of a run: fleet requests of both kinds, launch template, AMI, instances and volumes.

What they cost is in `tasks.cost`, why they do not start in `tasks.diagnosis`.
"""
