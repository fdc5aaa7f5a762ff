"""dsapi, the Data Science API: what a picture shows at a point, over HTTP.

Where to look:

- ``prediction``: the way from picture to labels; ``prediction.predict`` names every step.
- ``engines``: loading and running a graph.
- ``web``: HTTP requests in, JSON out.
- ``server``, ``daemon``: the process around it.
- ``cli``: the ``dsapi`` command.
"""

__version__ = "0.1.0"
