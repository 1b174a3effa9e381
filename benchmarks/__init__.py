"""Benchmarks against stock Postgres, measured in the same run: `python -m benchmarks --help`."""
