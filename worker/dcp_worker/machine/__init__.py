"""The EC2 instance and the ECS task of the container: identity, metrics, Spot notice, termination.

`supervisor` decides when the machine terminates.
"""
