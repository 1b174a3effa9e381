"""Judges of a run.

`judgement` holds what clients saw against the journal; `lists` looks at nothing but what they saw.
"""
