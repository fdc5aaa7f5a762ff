"""The color classifier: from the color survey to a graph, its card and its figures."""
