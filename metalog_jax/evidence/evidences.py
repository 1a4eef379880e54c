"""Every evidence, one entry: what it is, whose idea, how much it counts."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np


class Evidence(NamedTuple):
  """One evidence; a score is the sum over them of weight times value.

  p(v) = (#{normals with value >= v} + 1/2) / (N + 1/2), each of N normal sessions with
  itself left out.
  """

  name: str
  weight: float
  meaning: str  # formula of the value
  source: str
  measured: str = ''  # the value against the normals that it comes from
  labelled: bool = False  # needs labelled anomalies
  alone: bool = False  # off where anomalies are labelled
  of_counts: bool = True  # how often each event is in a session is enough
  of_events: bool = True  # events can be named that it comes from


CONFORMAL = 'Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005'
TABLE = (
  Evidence(
    'new_events',
    1 / 6,
    '-log p(number of events that no normal session has)',
    f'{CONFORMAL}; new events: Landauer et al., FSE 2024',
    'new',
  ),
  Evidence('new_number', 1 / 2, 'log(1 + that number)', 'ours', 'new'),
  Evidence(
    'distance',
    1 / 2,
    'log((d + 1/4) / (q + 1/4)), d the distance in log(1 + count) to the nearest '
    "normal session, q the 90 % quantile of the normals' own",
    'Ramaswamy et al., SIGMOD 2000',
    'distance',
  ),
  Evidence(
    'range',
    1 / 6,
    "-log p(number of counts outside the normals' range)",
    'Landauer et al., FSE 2024',
    'range',
  ),
  Evidence(
    'absent',
    1 / 6,
    '-log p(-Σ log(1 - share)) over absent events that most normals have',
    'ours',
    'absent',
  ),
  Evidence(
    'gone',
    1 / 2,
    "log(1 + a - b), a that sum and b the normals' largest, where a is larger and no "
    'anomaly is labelled',
    'ours',
    'absent',
    alone=True,
  ),
  Evidence(
    'deviation',
    1 / 6,
    '-log p(Σ surprise √|difference in log(1 + count) to the nearest normal|)',
    'ours',
    'deviation',
  ),
  Evidence(
    'order',
    1 / 2,
    '-log p(number of transitions that no normal has) where p < 1/1000, else 0',
    'Forrest et al., A sense of self for Unix processes, S&P 1996',
    'order',
    of_counts=False,
  ),
  Evidence(
    'ratio',
    1,
    'log((d + 1/4) / (a + 1/4)), a the distance to the nearest labelled anomaly',
    'Cover and Hart, IEEE Trans. Information Theory 1967',
    labelled=True,
  ),
  Evidence(
    'trees',
    2,
    '2 P(anomaly) - 1 of trees on log(1 + count) and what was measured, out of fold',
    'Geurts et al., Machine Learning 2006',
    labelled=True,
  ),
  Evidence(
    'event_trees',
    2,
    '2 P(anomaly) - 1 of trees on log(1 + count) alone, out of fold',
    'Geurts et al., Machine Learning 2006',
    labelled=True,
  ),
  Evidence(
    'missed',
    1,
    'log P(no labelled anomaly is of the kind of session, were it anomalous), by how '
    'frequent it is among unlabelled sessions',
    'Good, Biometrika 1953',
    of_events=False,
  ),
  Evidence(
    'unlike',
    1,
    'of later sessions log(m + (1 - m) exp(L)) - L, L the sum of the evidences that '
    'need labelled anomalies, m = 1/(K + 2) the share of anomalies unlike K labelled',
    "Laplace's rule of succession",
    of_events=False,
  ),
)
NAMES = tuple(evidence.name for evidence in TABLE)
COUNTED = tuple(x.name for x in TABLE if x.of_counts and not x.labelled and x.of_events)
BESIDE = tuple(x.name for x in TABLE if not x.of_counts)
LABELLED = tuple(x.name for x in TABLE if x.labelled)
# What labelled anomalies say better.
ALONE = frozenset(x.name for x in TABLE if x.alone)
# Off unless asked for: found no fault of the real systems that counts had missed, and
# drifts (docs/evidence.md); where order alone is at fault nothing else sees it.
OFF = ('order',)


def weights(without: Collection[str] = ()) -> np.ndarray:
  """[len(NAMES)] the evidences' weights; 0 for those switched off."""
  return np.array([0.0 if x.name in without else x.weight for x in TABLE])


def can_see(without: Collection[str], labelled: bool = True) -> bool:
  """Whether an evidence is on that can speak against a session.

  Those that come of no event take back what others say.

  Args:
    labelled: there are labelled anomalies.
  """
  off = ALONE.union(without) if labelled else {*LABELLED, *without}
  return any(x.of_events and x.name not in off for x in TABLE)


def unused(without: Collection[str]) -> frozenset[str]:
  """What need not be measured where these evidences are off."""
  used = {x.measured for x in TABLE if x.name not in without}
  return frozenset({x.measured for x in TABLE} - used)
