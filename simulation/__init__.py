"""A whole cluster in one process, under a virtual clock, from a seed.

The production logic of adjudicator, journal and storage runs unchanged on a virtual disk, a virtual network and
virtual processes that die between any two effects. Virtual clients run transactions and write down what they saw;
checkers judge the histories. `python -m simulation --seed N` replays a run exactly.
"""
