"""The byte formats between processes, as codecs without I/O: docs/formats.md in code.

Import from the modules: `frames` (the unit of every stream), `transaction_record`, `commit_messages`, `journal_batch`,
`journal_messages`. Everything that decodes treats its input as hostile and raises `Malformed`.
"""
