"""The nearest of many bags, by the Euclidean distance in log(1 + count)."""

import os
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

MOST = 8_000  # bags that distances are taken to: the most frequent
CELLS = 1 << 21  # numbers of one block of dense work: 8 MiB
DENSE = 1 << 26  # up to so many numbers the bags are dense
FILLED = 0.15  # share of a row's events up to which sparse products are faster
ROUNDING = 1e-5  # of a squared distance in single precision, per unit of squared length
EQUAL = 1e-9  # squared distances that differ by less are equal
CANDIDATES = 8  # bags compared exactly, of those that rounding leaves


class Index(NamedTuple):
  """R different bags of V events to be near to, the most frequent first."""

  logs: Any  # [R, V] csr float64, log(1 + count)
  columns: Any  # [V, R'] float32, the same of the first R', dense or csr
  squares: np.ndarray  # [R'] float32, their squared lengths


def frequent_first(times: np.ndarray) -> np.ndarray:
  """[U] the order in which bags with so many sessions `times` [U] are kept.

  Where not all are, chance decides between equally frequent ones: the first of a log
  would be those of one time.
  """
  if len(times) <= MOST:
    return np.argsort(-times, kind='stable')
  chance = np.random.default_rng(0).permutation(len(times))
  return np.lexsort((chance, -times))


def index(counts: Any) -> Index:
  """Prepares bags [R, V] csr for `search`; only the first MOST will be found."""
  logs = counts.log1p()
  first = logs[:MOST].astype(np.float32)
  squares = np.asarray(first.multiply(first).sum(axis=1)).ravel()
  dense = first.shape[0] * first.shape[1] < DENSE
  columns = np.ascontiguousarray(first.toarray().T) if dense else first.T.tocsr()
  return Index(logs, columns, squares)


def blocks(num: int, width: int) -> list[slice]:
  """Slices of `num` rows whose dense work fits in CELLS numbers of `width`."""
  step = max(CELLS // max(width, 1), 1)
  return [slice(i, i + step) for i in range(0, num, step)]


def squared(bags: Index, logs: Any) -> np.ndarray:
  """|x - y|² - |x|² [m, R'] float32 of rows x, logs [m, V] csr, and all bags y."""
  rows = logs.astype(np.float32)
  if not isinstance(bags.columns, np.ndarray):
    products = (rows @ bags.columns).toarray()
  elif rows.nnz < FILLED * rows.shape[0] * rows.shape[1]:
    products = rows @ bags.columns
  else:
    products = rows.toarray() @ bags.columns
  products *= -2
  products += bags.squares
  return products


def search(bags: Index, counts: Any, skip: np.ndarray | None = None) -> np.ndarray:
  """The nearest bag [m] of each row of counts [m, V] csr; -1: there is none.

  Of equally near ones it is the first, whatever the rounding of products.

  Args:
    skip: [m] the bag that is left out for each row; -1: none.
  """
  logs, nearest = counts.log1p(), np.full(counts.shape[0], -1)

  def fill(block: slice) -> None:
    part = None if skip is None else skip[block]
    nearest[block] = _search(bags, logs[block], part)

  every = blocks(len(nearest), len(bags.squares))
  if len(every) < 2:
    for block in every:
      fill(block)
  else:  # products leave the interpreter to other threads
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      list(pool.map(fill, every))
  return nearest


def _search(bags: Index, logs: Any, skip: np.ndarray | None) -> np.ndarray:
  far = squared(bags, logs)
  if skip is not None:
    at = np.flatnonzero((skip >= 0) & (skip < far.shape[1]))
    far[at, skip[at]] = np.inf
  nearest, every = far.argmin(axis=1), np.arange(len(far))
  least = far[every, nearest]
  lengths = np.asarray(logs.multiply(logs).sum(axis=1)).ravel()
  limit = least + np.float32(ROUNDING) * (1 + lengths + np.abs(least))
  close = far <= limit.astype(np.float32)[:, None]
  ties = np.flatnonzero(np.count_nonzero(close, axis=1) > 1)
  ties = ties[np.isfinite(least[ties])]
  if len(ties):
    row, bag = np.nonzero(close[ties])
    first = np.searchsorted(row, np.arange(len(ties)))
    few = np.arange(len(row)) - first[row] < CANDIDATES
    row, bag = ties[row[few]], bag[few]
    row = np.concatenate([row, ties])
    bag = np.concatenate([bag, nearest[ties]])
    exact = square_sums(logs[row] - bags.logs[bag])
    best = np.full(len(far), np.inf)
    np.minimum.at(best, row, exact)
    equal = exact <= best[row] + EQUAL
    nearest[ties] = far.shape[1]
    np.minimum.at(nearest, row[equal], bag[equal])
  return np.where(np.isfinite(least), nearest, -1)


def differences(bags: Index, counts: Any, nearest: np.ndarray) -> Any:
  """[m, V] csr float64 in log(1 + count) of counts to their nearest bags.

  To an empty bag where there is none (-1).
  """
  logs = counts.log1p()
  if (nearest >= 0).all():
    return logs - bags.logs[nearest]
  others = bags.logs[np.maximum(nearest, 0)]
  others.data = others.data * np.repeat(nearest >= 0, np.diff(others.indptr))
  return logs - others


def distances(bags: Index, counts: Any, skip: np.ndarray | None = None) -> np.ndarray:
  """[m] to the nearest bag; nan where there is none."""
  nearest = search(bags, counts, skip)
  distance = np.sqrt(square_sums(differences(bags, counts, nearest)))
  return np.where(nearest < 0, np.nan, distance)


def square_sums(rows: Any) -> np.ndarray:
  """[m] sum of squares of each row of a csr matrix."""
  return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
