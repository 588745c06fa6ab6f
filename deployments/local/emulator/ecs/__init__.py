"""ECS: clusters, container instances, tasks, services, placement, and the endpoints of the agent.

The processes that stand for containers are in `core`.
"""
