"""The EC2 instance and the ECS task around the container: identity, metrics, Spot notice, end.

When a machine is to end is decided by `supervisor`.
"""
