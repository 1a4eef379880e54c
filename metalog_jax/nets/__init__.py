"""Networks and losses, pure functions over packed grids (`grid`).

A classifier is a Linen module: calling it gives the logits of a batch [B, 2], normal
and anomalous; `attend` gives them with what every place weighs in the verdict [N'].
`train=True` turns dropout on.
"""
