"""A client for other programs: a picture and a point in, typed labels out, and never a long wait.

It needs urllib3 and nothing else, and imports nothing else of dsapi: it also works where no
TensorFlow is. `Client.predict_or_empty` is what an upload calls: it always returns, in time.

- ``client``: the client itself.
- ``breaker``: when not to ask at all.
- ``result``, ``errors``: what comes back.
"""

from dsapi.client.client import Client
from dsapi.client.errors import (
    CircuitOpen,
    ClientError,
    Refused,
    Rejected,
    TimedOut,
    Unavailable,
)
from dsapi.client.result import Label, Result

__all__ = [
    "CircuitOpen",
    "Client",
    "ClientError",
    "Label",
    "Refused",
    "Rejected",
    "Result",
    "TimedOut",
    "Unavailable",
]
