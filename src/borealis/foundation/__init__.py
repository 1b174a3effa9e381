"""What every role shares: identifiers, the error taxonomy, shared pages, metadata files, the clock, privileges.

Imports nothing of the other roles.

Import from the modules: `identifiers`, `errors`, `pages`, `metadata_file`, `clock`, `privileges`.
"""
