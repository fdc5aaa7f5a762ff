"""The core: from a picture's bytes and a point to ranked labels. No HTTP, no config file.

One way through, one module a step::

    bytes ─► picture ─► points ─► crops ─► model (engine) ─► ranking
             └──────────── predictor.predict ────────────────────┘

`files` reads pictures below the image roots.
"""
