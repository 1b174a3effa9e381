"""What every role shares: identifiers, the error taxonomy, shared pages, the clock, dropping privileges.

Imports nothing of the other roles.

Import from the modules: `identifiers`, `errors`, `pages`, `clock`, `privileges`.
"""
