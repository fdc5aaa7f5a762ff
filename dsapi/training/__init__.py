"""Training of the shipped models: data, networks, frozen graphs, cards.

Only this package and ``dsapi.engines`` import TensorFlow, and only inside functions.
"""
