"""The themes classifier: from photos and ImageNet weights to a graph, its card and its figures."""
