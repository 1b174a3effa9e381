"""The front: owns the sessions of one Postgres instance, which come to it authenticated from a relay.

Continues their TLS sessions, speaks the Postgres protocol with both sides, and serves many sessions with few backends:
one is a session's from its first request to the end of its transaction. Promises: what a session sees does not
depend on which backend serves it; sessions never see anything of each other; an idle session costs a few kilobytes; a
front that dies takes its own sessions with it and nothing else. What follows a session, and what keeps it on one
backend, is in docs/decisions/sessions.md.
"""

from borealis.front.settings import FrontSettings

__all__ = ["FrontSettings"]
