"""Borealis: a serverless, Postgres-compatible distributed SQL database. See ARCHITECTURE.md."""

__version__ = "0.1.0"
