"""EC2: fleets, instances and instance metadata, capacity, prices, quotas, CPU alarms.

Instances as container instances of ECS are in `ecs`.
"""
