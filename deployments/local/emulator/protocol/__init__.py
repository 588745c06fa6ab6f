"""AWS wire protocols: requests are parsed into operations and parameters, responses are built.

It depends neither on the state of the emulator nor on the actions of a service.
"""
