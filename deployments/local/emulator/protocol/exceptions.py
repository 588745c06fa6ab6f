"""The error of an emulated action that refuses a request."""

from moto.core.exceptions import ServiceException


class ApiError(ServiceException):
    """A refused request: `ApiError(code, message)`, with the code from the API reference.

    It is a class of this package because moto searches the error's model in the service to whose
    package the class belongs.
    """
