"""HTTP: a request in, the core's request out of it; the core's answer or error in, JSON out.

No picture is opened and no tensor touched in here.

- ``http_server``, ``waiting``, ``threads``, ``connections``: callers, until a thread serves one.
- ``protocol``, ``heads``, ``framing``: from what one sends to a WSGI request.
- ``application``, ``exchange``: which path is answered by what.
- ``bodies``, ``fields``, ``parameters``: from the bytes of a request to a `PredictionRequest`.
- ``answers``, ``problems``: from a `Prediction` or an error to JSON.
"""
