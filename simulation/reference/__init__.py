"""The adjudicator once more, in plain Python: the specification that the one in C is compared with.

Slow, and meant to be read. It decides exactly as `borealis.adjudicator.adjudicator` does, except that a refusal may
name another one of several keys in conflict, and that a decision which is not confirmed leaves nothing behind. The
simulation runs with it, too, and bugs are planted into it.
"""

from simulation.reference.adjudicator import ReferenceAdjudicator

__all__ = ["ReferenceAdjudicator"]
