"""`borealis iam`: users, groups, roles, access keys, policies and temporary credentials of a data directory.

Works on the store itself, whether or not Borealis runs: what is changed here holds for the next connection. `arguments`
owns the words of the command line, the other modules one noun each.
"""

from borealis.cli.iam.arguments import add_iam

__all__ = ["add_iam"]
