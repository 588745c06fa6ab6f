"""The error with which an emulated action refuses a request, as AWS does."""

from moto.core.exceptions import ServiceException


class Refused(ServiceException):
    """A refused request: `Refused(code, message)`, the code as in the API reference.

    A class of this package, because moto looks for the error's model in the service whose package
    the class is in.
    """
