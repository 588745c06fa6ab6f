"""Services that need one module each: Lambda with EventBridge Scheduler, IAM, log exports.

EC2, ECS and SQS have packages of their own.
"""
