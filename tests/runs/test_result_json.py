"""What a result says of how it came about."""

import types

import pytest

from metalog_jax.detectors import logrobust, metalog
from metalog_jax.evaluation import blind_spots
from metalog_jax.runs import result_json


@pytest.mark.parametrize(
  ('name', 'method', 'steps', 'warned'),
  [
    ('logrobust', logrobust.Config(), 22, True),
    ('logrobust', logrobust.Config(), 100, False),
    ('metalog', metalog.Config(), 22, False),
  ],
)
def test_networks_of_few_steps_are_warned_of(name, method, steps, warned):
  job = types.SimpleNamespace(detector=name, method=method)
  texts = result_json._of_training(job, steps)
  assert len(texts) == warned
  assert not warned or '22 steps' in texts[0] and '--logrobust.least_steps' in texts[0]


@pytest.mark.parametrize(
  'sessions,labelled,says',
  [
    (75, 0, '2 of 75 are above the threshold'),
    (0, 0, 'no labelled session is left'),
    (75, 1, ''),
  ],
)
def test_what_is_not_measured_is_said(sessions, labelled, says):
  seen = blind_spots.NOTHING._replace(sessions=sessions, alerts=2)
  for name in ('normals', 'anomalies'):
    texts = result_json._unmeasured(seen._replace(**{name: labelled}))
    assert says in texts[0] if says else not texts
