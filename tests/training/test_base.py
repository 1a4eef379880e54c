"""Labels that a method may not see are gone before it sees anything."""

import itertools

import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.training import base
from tests import builders

NEEDS = (base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES)


def make_transfer(target: bool = True) -> types.Transfer:
  sessions = builders.sessions([[1]] * 6, [0, 1, -1, 0, 1, 0])
  data = types.Dataset('x', sessions, np.zeros((2, 2)))
  return types.Transfer((data, data), data if target else None)


SUBSETS = [frozenset(x) for n in range(4) for x in itertools.combinations(NEEDS, n)]


@pytest.mark.parametrize('needs', SUBSETS, ids=lambda x: '+'.join(sorted(x)) or 'none')
def test_only_what_is_needed_stays(needs):
  seen = base.blind(make_transfer(), needs)
  given = make_transfer().target.sessions.labels
  for source in seen.sources:
    want = given if base.SOURCE_LABELS in needs else np.full(6, -1)
    np.testing.assert_array_equal(source.sessions.labels, want)
  want = given.copy()
  if base.TARGET_NORMALS not in needs:
    want[given == 0] = -1
  if base.TARGET_ANOMALIES not in needs:
    want[given == 1] = -1
  np.testing.assert_array_equal(seen.target.sessions.labels, want)


def test_zero_shot_has_no_target():
  assert base.blind(make_transfer(target=False), frozenset()).target is None
