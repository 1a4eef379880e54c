"""Forests as arrays: grown by scikit-learn, read by NumPy, in a model's file or not.

Reference: Geurts et al., Extremely randomized trees, Machine Learning 2006.
"""

from typing import NamedTuple

import numpy as np

from metalog_jax import lazy

ensemble = lazy.module('sklearn.ensemble')  # half a second that few need

TREES = 50
LOOKED_AT = 0.2  # of the inputs, at every node: with less, few labels drown among many
CELLS = 1 << 16  # places in trees at a time


class Forest(NamedTuple):
  """T trees with N nodes in all, and E inputs; a leaf is its own child."""

  roots: np.ndarray  # [T] int64
  inputs: np.ndarray  # [N] int64 which input a node looks at
  cuts: np.ndarray  # [N] float64: up to it to the left
  children: np.ndarray  # [N, 2] int64 left and right
  shares: np.ndarray  # [N] weighted share of anomalies among a node's sessions
  importances: np.ndarray  # [E] of the inputs; they sum to 1


def grow(
  table: np.ndarray, label: np.ndarray, weight: np.ndarray, looked_at: float = LOOKED_AT
) -> Forest:
  """Extremely randomized trees on table [n, E], label [n] 0 or 1, weight [n].

  Args:
    looked_at: share of the inputs from which a node picks the one that parts best.
  """
  grown = ensemble.ExtraTreesClassifier(TREES, max_features=looked_at, random_state=0)
  grown.fit(table, label, sample_weight=weight)
  trees = [tree.tree_ for tree in grown.estimators_]
  roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
  parts = []
  for root, tree in zip(roots, trees, strict=True):
    nodes = np.arange(tree.node_count)
    sides = np.stack([tree.children_left, tree.children_right], axis=1)
    children = np.where(sides < 0, nodes[:, None], sides) + root
    both = tree.value[:, 0]
    parts.append(
      (np.maximum(tree.feature, 0), tree.threshold, children, both[:, 1] / both.sum(1))
    )
  inputs, cuts, children, shares = (np.concatenate(x) for x in zip(*parts))
  return Forest(
    roots, inputs.astype(np.intp), cuts, children, shares, grown.feature_importances_
  )


def probabilities(forest: Forest, table: np.ndarray) -> np.ndarray:
  """[m] P(anomaly) of rows [m, E] float32: the mean over trees of a leaf's share."""
  table, num = np.ascontiguousarray(table, np.float32), len(forest.roots)
  out, step = np.zeros(len(table)), max(CELLS // num, 1)
  for start in range(0, len(table), step):
    rows = table[start : start + step]
    shares = forest.shares.take(_leaves(forest, rows)).reshape(len(rows), num)
    out[start : start + step] = shares.mean(axis=1)
  return out


def _leaves(forest: Forest, rows: np.ndarray) -> np.ndarray:
  """[m T] the leaf of every row in every tree, all of them going down together."""
  children, values = forest.children.ravel(), rows.ravel()
  at = np.tile(forest.roots, len(rows))
  row = np.repeat(np.arange(len(rows)) * rows.shape[1], len(forest.roots))
  leaves, place = at.copy(), np.arange(len(at))
  while len(at):
    right = values.take(row + forest.inputs.take(at)) > forest.cuts.take(at)
    after = children.take(2 * at + right)
    moving = after != at
    at, leaves[place] = after, after
    if 2 * np.count_nonzero(moving) < len(at):  # a leaf leads to itself
      at, row, place = at[moving], row[moving], place[moving]
  return leaves
