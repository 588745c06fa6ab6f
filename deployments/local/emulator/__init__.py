"""The process of the AWS emulator: WSGI application, reconcile loop, control API, random events.

Each AWS service has a package or a module of its own. `deployments.local.emulator_client` starts
this process.
"""
