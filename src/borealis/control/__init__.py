"""The control plane: the API of Aurora DSQL, over the metadata of the clusters and the host that runs them.

`python -m borealis.control` runs it (`server`, `settings`). A request comes in through `http_connection`, finds its
operation in `routing`, is checked by `validation` against `model`, allowed by `permissions`, and decided by
`cluster_operations`, `policy_operations` or `tag_operations`, which store what is wanted; `settling` has the host carry
it out. What was answered is durable, and carried out whatever dies in between.
"""
