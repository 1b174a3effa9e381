"""What the library refuses to store or to read, each with a sentence that says what to do."""

# ruff: noqa: N818 - the kinds carry the names that the design gives them

from borealis.foundation.errors import BorealisError


class MalformedPolicy(BorealisError):
    """A policy document that breaks a rule; says which one, and where."""


class NotFound(BorealisError):
    """There is no such user, role, group, policy or access key."""


class AlreadyExists(BorealisError):
    """The name is taken."""


class NotPossible(BorealisError):
    """The store's rules forbid it; says which one."""
