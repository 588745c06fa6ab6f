"""The machines of a run: fleet requests of both kinds, launch template, AMI, instances and volumes.

`tasks.cost` has their cost, `tasks.diagnosis` the reasons why they do not launch.
"""
