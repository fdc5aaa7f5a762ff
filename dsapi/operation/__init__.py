"""What operators see and do while it runs: logs, metrics, reload, downloads of graphs.

Called by `dsapi.web`, `dsapi.process` and `dsapi.cli`.
"""
