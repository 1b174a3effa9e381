"""Borealis: a self-hosted, serverless, PostgreSQL-compatible distributed SQL database."""
