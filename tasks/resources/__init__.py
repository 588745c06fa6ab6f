"""Resources of a run besides machines and queues: ECS, log groups, alarms, and links to them.

Machines are in `tasks.fleet`, queues in `tasks.jobs`, the dashboard in `tasks.monitor`.
"""
