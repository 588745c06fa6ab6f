"""Rules that relate several parameters of one request, a module for each service.

Checks that depend on existing resources, such as a name in use, are part of the actions.
"""
