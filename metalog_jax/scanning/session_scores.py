"""How odd sessions are, why, and what follows what unusually.

Sessions are scored by `evidence`: beside each other, or beside those of a baseline. The
reason of an odd session is the template that it alone has, that it lacks, or that it
has too often; sessions with one reason are one finding.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from scipy import sparse, special

from metalog_jax import evidence
from metalog_jax.evidence import nearest, pvalues
from metalog_jax.evidence.against import against, alarms
from metalog_jax.evidence.unlabelled import unlabelled
from metalog_jax.scanning.sessions import Sessions

LEAST = 50  # sessions, below which they say nothing about each other
_MOST_ODD = 0.5  # share of the sessions that a labelled anomaly may cast doubt on
_STALE = 5  # times the rate of false alarms that sessions are odd in a stale baseline
_OFTEN = 100  # records of a template of which an order is known


class Scored(NamedTuple):
  """Sessions with their scores, in order of first appearance."""

  scores: np.ndarray  # [S]
  p_values: np.ndarray  # [S]
  odd: np.ndarray  # [S] bool
  bags: sparse.csr_matrix  # [S, V]
  calibration: int = 0  # good sessions that alone decide; 0 where all do


def score(
  bags: sparse.csr_matrix,
  good: sparse.csr_matrix | None = None,
  alpha: float = 0.01,
  alarm: np.ndarray | None = None,
) -> Scored | None:
  """How odd each session is; None where there are too few.

  All are held beside each other, those of a baseline among them: what is usual in both
  is usual, and the baseline need not be free of anomalies. Where more of the sessions
  than false alarms explain are unlike the baseline although they are like each other,
  the baseline alone decides.

  Args:
    bags: [S, V].
    good: [N, V] sessions of a baseline.
    alpha: rate of false alarms where the baseline decides.
    alarm: [V] what an event that hardly any session has adds to the score of an odd
      one, by how severe it is.
  """
  crowd = bags if good is None else sparse.vstack([good, bags]).tocsr()
  if crowd.shape[0] < LEAST or not bags.shape[0]:
    return None
  alarm = np.zeros(bags.shape[1]) if alarm is None else alarm
  first, back, times = _distinct(crowd)
  num_good, counts = crowd.shape[0] - bags.shape[0], crowd[first]
  result = unlabelled(counts, times)
  odd = result.scores > result.threshold
  if num_good >= LEAST:
    beside = against(counts, back[:num_good], alarm)
    mine, ones = beside.scores[back[num_good:]], np.ones(num_good)
    p_values = pvalues.p_values(mine, beside.calibration, ones)
    unlike, expected = p_values <= alpha, alpha * len(mine)
    beyond = (unlike & ~odd[back[num_good:]]).sum()
    if beyond > expected + 2 * expected**0.5:
      return Scored(mine, p_values, unlike, bags, num_good)
  share = counts.sign().T @ times / times.sum()
  scores = result.scores + odd * alarms(counts, share, alarm)
  p_values = pvalues.exceeding(scores, scores, times) / times.sum()
  mine = back[num_good:]
  return Scored(scores[mine], p_values[mine], odd[mine], bags)


def rate_warning(scored: Scored, alpha: float) -> str:
  """How far a stated rate of false alarms can be trusted; '' where nothing is to say.

  The rate among new sessions that are exchangeable with N good ones is distributed as
  Beta(k, N + 1 - k) with k = floor(alpha (N + 1)) (Vovk 2012); sessions of a new kind
  are not exchangeable, and no rate is promised for them.
  """
  number = scored.calibration
  if not number:
    return ''
  rank = max(1, int(alpha * (number + 1) + 1e-9))
  most = float(special.betaincinv(rank, number + 1 - rank, 0.95))
  share, text = float(scored.odd.mean()), ''
  if most > 2 * alpha:
    text = (
      f'--false_alarms={alpha:.3g} holds in the mean; with {number:,} good sessions as '
      f'the baseline it may be {most:.1%}'
    )
  if share > max(most, _STALE * alpha):
    text += '; ' if text else ''
    text += (
      f'{share:.0%} of the sessions are unlike the baseline: these are incidents, or '
      'the baseline is stale, and then the rate does not hold; metalog baseline add '
      'gives it newer good logs'
    )
  return text


def adapted(
  scored: Scored, labels: np.ndarray, good: sparse.csr_matrix | None = None
) -> Scored:
  """Scores by the evidences of labelled sessions, where a few have a label.

  Few labels say little of what else is normal, so that sessions which are not odd
  without them serve as normals too; of sessions as odd as a labelled anomaly, or
  odder, this is not believed, unless half of all are. Verdicts change towards labels
  alone: a session is no longer odd only if it is nearer to a labelled normal than to
  the other normals and to labelled anomalies, and new ones are odd only where an
  anomaly is labelled. p-values are those among the normals, which were chosen.

  Args:
    scored: without labels.
    labels: [S] 1 for an anomaly, 0 for normal, -1 where nobody knows.
    good: [N, V] sessions of a baseline.
  """
  bags = scored.bags if good is None else sparse.vstack([good, scored.bags]).tocsr()
  first, back, _ = _distinct(bags)
  counts, num_good = bags[first], bags.shape[0] - len(labels)
  mine, usual = back[num_good:], ~scored.odd
  lowest = scored.scores[labels == 1].min(initial=np.inf)
  if (scored.scores >= lowest).mean() <= _MOST_ODD:
    usual &= scored.scores < lowest
  number = lambda rows: np.bincount(rows, minlength=len(first)).astype(np.float64)
  normal, anomalous = number(mine[labels == 0]), number(mine[labels == 1])
  believed = number(np.concatenate([back[:num_good], mine[usual & (labels < 0)]]))
  believed[anomalous > 0] = 0
  if not (normal + believed).any():
    return scored
  normals, anomalies, all_sessions = (
    evidence.Sample.of(counts, times)
    for times in (normal + believed, anomalous, number(mine))
  )
  reference = evidence.fit(normals, anomalies, all_sessions)
  scores = reference.judge(counts).scores
  above = (scores > reference.threshold)[mine]
  others = _nearest(counts, believed), _nearest(counts, anomalous)
  like_normal = _nearest(counts, normal) < np.minimum(*others)
  odd = np.where(scored.odd, above | ~like_normal[mine], above & (labels == 1).any())
  odd = np.where(labels < 0, odd, labels == 1)
  return Scored(scores[mine], reference.p_values(scores)[mine], odd, scored.bags)


def _nearest(counts: sparse.csr_matrix, times: np.ndarray) -> np.ndarray:
  """[U] distance of each bag to the nearest that has `times`; inf where none has."""
  if not times.any():
    return np.full(len(times), np.inf)
  return nearest.distances(nearest.index(counts[times > 0]), counts)


def reasons(
  scored: Scored, good: sparse.csr_matrix | None = None
) -> dict[tuple[str, int], np.ndarray]:
  """(kind, template) -> the odd sessions that it is the reason of."""
  rows = np.flatnonzero(scored.odd)
  if not len(rows):
    return {}
  bags = scored.bags if good is None else good
  usual = bags if good is not None else bags[~scored.odd]
  usual = usual if usual.shape[0] else bags
  n = usual.shape[0]
  share = np.asarray(usual.sign().sum(axis=0)).ravel() / n
  present = -np.log((share * n + 0.5) / (n + 1))
  absent = -np.log((n - share * n + 0.5) / (n + 1))
  logs = usual.copy()
  logs.data = np.log1p(logs.data)
  mean = np.asarray(logs.sum(axis=0)).ravel() / n
  squares = np.asarray(logs.multiply(logs).sum(axis=0)).ravel() / n
  spread = np.sqrt(np.maximum(squares - mean**2, 0)) + 0.1
  chosen: dict[tuple[str, int], list[int]] = {}
  for start in range(0, len(rows), 2000):
    part = rows[start : start + 2000]
    dense = scored.bags[part].toarray()
    has = dense > 0
    far = (np.log1p(dense) - mean) / spread
    values = np.stack(
      [np.where(has, present, 0), np.where(has, 0, absent), np.abs(far) / 2]
    )
    values[2] = np.minimum(values[2], 3.0)  # a count says less than what is new
    kind, template = np.unravel_index(
      values.transpose(1, 0, 2).reshape(len(part), -1).argmax(axis=1),
      (3, dense.shape[1]),
    )
    for i, row in enumerate(part.tolist()):
      name = ('rare', 'missing', 'burst' if far[i, template[i]] > 0 else 'drop')
      chosen.setdefault((name[kind[i]], int(template[i])), []).append(row)
  return {reason: np.array(found) for reason, found in chosen.items()}


def uncut(state: Sessions) -> np.ndarray:
  """[S] bool: sessions that the ends of the log cannot have cut.

  They neither begin nor end within a usual session's length of them.
  """
  table = state.places()
  timed = not (table['first_time'].has_nulls() or table['last_time'].has_nulls())
  unit = 'time' if timed else 'line'
  first, last = (table[f'{end}_{unit}'].to_numpy() for end in ('first', 'last'))
  length = np.quantile(last - first, 0.99)
  return (first - first.min() > length) & (last.max() - last > length)


def incomplete(
  whole: np.ndarray, bags: sparse.csr_matrix, alpha: float
) -> dict[tuple[str, int], np.ndarray]:
  """(kind, template) -> sessions that lack what nearly all others have, or repeat it.

  However odd they are: a share of at most `alpha` of those that are `whole` [S] bool.
  """
  number = int(whole.sum())
  if number < LEAST:
    return {}
  held = np.asarray(bags[whole].sign().sum(axis=0)).ravel()
  chosen: dict[tuple[str, int], np.ndarray] = {}
  for template in np.flatnonzero(held >= (1 - alpha) * number).tolist():
    counts = bags[:, template].toarray().ravel()
    for kind, hit in (('missing', whole & (counts == 0)), ('burst', counts > 1)):
      rows = np.flatnonzero(hit)
      known = any(np.isin(rows, other).all() for other in chosen.values())
      if 0 < len(rows) <= alpha * number and not known:
        chosen[kind, template] = rows
  return chosen


def unusual_orders(
  table: pl.DataFrame, alpha: float, good: pl.DataFrame | None = None
) -> pl.DataFrame:
  """Rows of `Sessions.order` that are not as expected, with their `surprise`.

  The chance that a record is followed by something that never followed it is estimated
  by the share of those that did so once (Good 1953).
  """
  if good is None:
    odd = table.filter(pl.col('count') == 1)
  else:
    odd = table.join(good.select('before', 'after'), on=('before', 'after'), how='anti')
  if odd.is_empty():
    return odd.with_columns(total=pl.lit(0), surprise=pl.lit(0.0))
  usual = table if good is None else good
  stats = usual.group_by('before').agg(
    pl.col('count').sum().alias('total'), (pl.col('count') == 1).sum().alias('once')
  )
  stats = stats.filter(pl.col('total') >= _OFTEN)
  common = usual.group_by('after').agg(pl.col('count').sum().alias('seen'))
  odd = odd.join(stats, on='before').join(common, on='after')
  p = (pl.col('once') + int(good is not None)) * len(stats) / pl.col('total')
  odd = odd.filter(pl.col('seen') >= _OFTEN).with_columns(surprise=-p.log(10))
  return odd.filter(pl.col('surprise') >= -np.log10(alpha)).sort('before', 'after')


def _distinct(bags: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """First row of each different bag, which one each row has, and how often it is."""
  mix = np.uint64(0x9E3779B97F4A7C15)
  with np.errstate(over='ignore'):
    cell = (bags.indices.astype(np.uint64) + np.uint64(1)) * mix
    cell ^= bags.data.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    cell = (cell ^ (cell >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    cell ^= cell >> np.uint64(32)
    total = np.concatenate([[np.uint64(0)], np.cumsum(cell, dtype=np.uint64)])
    hashes = total[bags.indptr[1:]] - total[bags.indptr[:-1]]
  _, first, back, times = np.unique(
    hashes, return_index=True, return_inverse=True, return_counts=True
  )
  return first, back, times.astype(np.float64)
