"""dsapi, the Data Science API: what a picture shows at a point, over HTTP.

Where to look:

- ``prediction``: the way from picture to labels; ``predict`` in ``predictor`` names every step.
- ``engines``: loading and running a graph.
- ``workers``: the threads that predict, behind one queue.
- ``web``: HTTP requests in, JSON out.
- ``process``: forking, loading, listening, stopping.
- ``settings``: what ``dsapi.conf`` may say.
- ``operation``: logs, metrics, reload, downloads of graphs.
- ``cli``: the ``dsapi`` command.
- ``client``: for applications that ask a service.
- ``photos``, ``evaluation``, ``training``: labeled photos, how right a graph is, making one.
"""

__version__ = "0.1.0"
