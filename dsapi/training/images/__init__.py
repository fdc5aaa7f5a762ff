"""Classifiers of a user's own labels: from photos to a graph, its labels, card and section."""
