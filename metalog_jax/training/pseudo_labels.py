"""Labels of unlabelled sessions from clusters that known normal sessions are in.

Sessions repeat, so that everything is computed on the different ones; how often each
occurs counts as if its copies stood there.

References:
  Yang et al., PLELog: Semi-supervised log-based anomaly detection via probabilistic
  label estimation, ICSE 2021. McInnes et al., hdbscan, JOSS 2017. Campello et al.,
  Hierarchical density estimates (HDBSCAN and the outlier score GLOSH), TKDD 2015.
"""

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np

from metalog_jax import errors, flags, lazy, types
from metalog_jax.batches import bags, drawing, sequences

decomposition = lazy.module('sklearn.decomposition')
exceptions = lazy.module('sklearn.exceptions')
neighbors = lazy.module('sklearn.neighbors')

NOISE = -1
_RANK = 1e-6  # singular values below this share of the largest are rounding


@dataclasses.dataclass(frozen=True)
class Options(flags.Settings):
  """How labels are estimated; the values are PLELog's."""

  known_share: float = flags.field(
    0.5,
    'share of the labelled normal sessions that are known; others get estimates',
    most=1,
  )
  ica: int = flags.field(
    50, 'independent components that sessions are reduced to', least=1
  )
  min_cluster: int = flags.field(100, 'sessions in a cluster at least', least=2)
  min_samples: int = flags.field(100, 'neighbours that make a core distance', least=1)


class Clusters(NamedTuple):
  """HDBSCAN's result."""

  labels: np.ndarray  # [U] int, NOISE for none
  outlierness: np.ndarray  # [U] GLOSH score in [0, 1]


def pool(
  data: types.Dataset, seqs: sequences.Sequences, options: Options, seed: int
) -> drawing.Pool:
  """All sessions of a system, with estimated labels but for the known normal ones.

  Labels 1 are not read: those sessions are as unlabelled as the others.
  """
  targets = estimate(data, seqs, options, seed)
  everyone, nobody = np.arange(len(targets)), np.zeros(0, np.int64)
  return drawing.Pool(data.vectors, seqs, everyone, nobody, 0, targets)


def estimate(
  data: types.Dataset, seqs: sequences.Sequences, options: Options, seed: int
) -> np.ndarray:
  """[S] in [0, 1], how probably each session is anomalous.

  A known normal session is normal. Others are normal if a known one is in their
  cluster, or, outside of all clusters, is equal to them; else anomalous. The label of
  one in a cluster is uncertain by its outlier score c: 1 - c/2 for what it is held to
  be. Outside, it is certain.
  """
  bagged = bags.of_sequences(seqs, len(data.vectors))
  normal = np.flatnonzero(data.sessions.labels == 0)
  rng = np.random.default_rng([seed, 6])
  count = int(np.ceil(len(normal) * options.known_share))
  known = rng.choice(normal, count, replace=False)
  num = bagged.counts.shape[0]
  times = np.bincount(bagged.inverse, minlength=num)
  has_known = np.bincount(bagged.inverse[known], minlength=num) > 0
  vectors = bagged.counts @ data.vectors.astype(np.float64)
  groups = clusters(
    reduced(vectors, times, options.ica, seed),
    times,
    options.min_cluster,
    options.min_samples,
  )
  targets = probabilities(groups, has_known)[bagged.inverse]
  targets[known] = 0.0
  return targets


def probabilities(groups: Clusters, has_known: np.ndarray) -> np.ndarray:
  """[U] how probably an unlabelled session of each kind is anomalous.

  Args:
    has_known: [U] bool, whether a known normal session is of this kind.
  """
  inside = groups.labels != NOISE
  good = np.unique(groups.labels[has_known & inside])
  is_normal = np.where(inside, np.isin(groups.labels, good), has_known)
  doubt = np.where(inside, np.nan_to_num(groups.outlierness, nan=1.0), 0.0) / 2
  return np.where(is_normal, doubt, 1 - doubt)


def reduced(x: np.ndarray, times: np.ndarray, num: int, seed: int) -> np.ndarray:
  """[U, m] independent components of session vectors [U, D], m <= num.

  The fit takes no weights, so that it sees every copy. There are no more components
  than directions: the rest would be rounding, blown up to unit variance.
  """
  if len(x) < 2:
    return np.zeros((len(x), 1))
  centred = x - np.average(x, axis=0, weights=times)
  singular = np.linalg.svd(np.sqrt(times)[:, None] * centred, compute_uv=False)
  rank = int(np.sum(singular > _RANK * max(singular[0], 1e-30)))
  if not rank:
    return np.zeros((len(x), 1))
  model = decomposition.FastICA(
    min(num, rank), random_state=seed, whiten='unit-variance'
  )
  with warnings.catch_warnings(), np.errstate(divide='ignore', invalid='ignore'):
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    return model.fit(np.repeat(x, times, axis=0)).transform(x)


def clusters(
  x: np.ndarray, times: np.ndarray, min_cluster: int, min_samples: int
) -> Clusters:
  """HDBSCAN of points [U, m], each of which stands `times` [U] times at its place.

  The spanning tree is that of the different points, with core distances that count
  the copies; copies hang on their point at its core distance.

  Raises:
    UserError: the package `hdbscan` is not installed.
  """
  try:
    # An extra, and slow to import.
    from hdbscan import _hdbscan_linkage, _hdbscan_tree, dist_metrics
  except ImportError as error:
    raise errors.UserError(
      'estimated labels need the package hdbscan: pip install "metalog-logs[baselines]"'
    ) from error

  total = int(times.sum())
  if total < 3 or total < min_cluster:
    return Clusters(np.full(len(x), NOISE), np.zeros(len(x)))
  core = core_distances(x, times, min(min_samples, total - 1))
  first = np.cumsum(times) - times
  edges = np.zeros((0, 3))
  if len(x) > 1:
    metric = dist_metrics.DistanceMetric.get_metric('euclidean')
    points = np.ascontiguousarray(x, np.float64)
    edges = np.asarray(
      _hdbscan_linkage.mst_linkage_core_vector(points, core, metric, 1.0)
    ).copy()
    edges[:, :2] = first[edges[:, :2].astype(int)]
  copies = np.setdiff1d(np.arange(total), first)
  owner = np.repeat(np.arange(len(x)), times)[copies]
  of_copies = np.stack([first[owner], copies, core[owner]], axis=1)
  edges = np.concatenate([edges, of_copies]).astype(np.float64)
  edges = edges[np.argsort(edges[:, 2], kind='stable')]
  tree = _hdbscan_tree.condense_tree(_hdbscan_linkage.label(edges), min_cluster)
  stability = _hdbscan_tree.compute_stability(tree)
  labels = np.asarray(_hdbscan_tree.get_clusters(tree, stability)[0])
  outlierness = np.asarray(_hdbscan_tree.outlier_scores(tree))
  return Clusters(labels[first], outlierness[first])


def core_distances(x: np.ndarray, times: np.ndarray, min_samples: int) -> np.ndarray:
  """[U] distance to the `min_samples`-th neighbour, copies of a point included."""
  num = min(len(x), min_samples + 1)
  near = neighbors.NearestNeighbors(n_neighbors=num).fit(x)
  distances, index = near.kneighbors(x)
  enough = np.cumsum(times[index], axis=1) >= min_samples + 1
  return distances[np.arange(len(x)), np.argmax(enough, axis=1)]
