"""The process around the service: fork, load, listen, drain, leave.

`server` runs one in the foreground, `daemon` starts and stops one in the background, `supervisor`
watches over several; `service` puts workers and web together. Called by `dsapi.cli`.
"""
