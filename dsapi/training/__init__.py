"""Training: data, networks, frozen graphs, cards.

``themes`` and ``colors`` make the shipped models, ``images`` makes classifiers of a user's own
labels. Only this package and ``dsapi.engines`` import TensorFlow, and only inside functions.
"""
