"""The relay: the one TLS endpoint of all clusters.

`python -m borealis.relay` runs it (`server`, `settings`). It accepts, shakes hands, finds the cluster by the server
name, checks the token, and hands the session with its keys and its socket to a front of the cluster; from then on it
has nothing to do with it. Pure: `dialogue` (what is said before a client is somebody), `startup_packet`, `reception`
(how many may be here, for how long), `limits`, `refusals`. Nothing that a client sends before its token was verified
costs more than what these bound.
"""
