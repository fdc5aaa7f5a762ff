"""Labeled photos on disk: which files they are, what their folders and tables call a label.

Called by `dsapi.evaluation` and `dsapi.training`, which must not disagree about a photo: both
decode it as the server does, by `dsapi.prediction`.
"""
