"""The clusters of one installation: what they are called and what is known of them.

A library, imported by every service that has to name a cluster. `names` holds identifiers, ARNs and endpoint names.
"""
