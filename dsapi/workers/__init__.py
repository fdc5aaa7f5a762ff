"""Prediction workers: a pool of threads behind one queue, each with sessions of its own.

Called by `dsapi.web`; calls `dsapi.prediction`.
"""
