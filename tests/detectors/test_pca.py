"""PCA against scikit-learn, the Q statistic against the textbook."""

import jax
import numpy as np
import pytest
from sklearn import decomposition

from metalog_jax import flags, types
from metalog_jax.detectors import pca, spe
from metalog_jax.evaluation import scoring
from tests.detectors import systems


def session_vectors(data, config):
  rows = np.split(data.sessions.events, data.sessions.offsets[1:-1])
  sums = np.stack([data.vectors[row].sum(0, dtype=np.float64) for row in rows])
  if config.pooling == 'mean':
    sums /= data.sessions.lengths[:, None]
  return sums


@pytest.mark.parametrize('pooling', ['sum', 'mean'])
def test_it_is_sklearns(pooling):
  config = flags.replace(pca.Config(), pooling=pooling, kept=0.8, collapse=0)
  source, test = systems.system(0, 150), systems.system(1, 50, 3)
  detector = pca.make_detector(config)
  state = detector.init(jax.random.key(0), types.Transfer((source,), None))
  found = scoring.Scorer(detector).scores(state, test)

  x, y = session_vectors(source, config), session_vectors(test, config)
  model = decomposition.PCA(svd_solver='full').fit(x)
  spectrum = model.explained_variance_ * (len(x) - 1) / len(x)
  kept = 1 + int(np.argmax(np.cumsum(spectrum) >= 0.8 * spectrum.sum()))
  assert 0 < kept < 5
  few = decomposition.PCA(kept, svd_solver='full').fit(x)
  error = ((y - few.inverse_transform(few.transform(y))) ** 2).sum(1)
  np.testing.assert_allclose(found, error, rtol=1e-4, atol=1e-5)

  # Q by hand, every power written out.
  rest = spectrum[kept:]
  phi1, phi2, phi3 = rest.sum(), (rest * rest).sum(), (rest * rest * rest).sum()
  h0 = 1 - 2 * phi1 * phi3 / (3 * phi2 * phi2)
  q = 3.2905 * np.sqrt(2 * phi2 * h0 * h0) / phi1 + 1 + phi2 * h0 * (h0 - 1) / phi1**2
  threshold, where = detector.threshold(state, None, None)
  assert threshold == pytest.approx(phi1 * q ** (1 / h0), rel=1e-4)
  assert where == 'q_statistic'


def test_several_sources_are_one_population():
  config, parts = pca.Config(), (systems.system(0, 30), systems.system(1, 40))
  state = pca.fit(config, types.Transfer(parts, None))
  x = np.concatenate([pca.features(config, part) for part in parts])
  np.testing.assert_allclose(state.mean, x.mean(0), rtol=1e-5)


def test_principal_keeps_the_share():
  cov = np.diag([4.0, 3.0, 2.0, 1.0])
  for kept, num in [(0.4, 1), (0.41, 2), (0.7, 2), (0.95, 4)]:
    basis, rest = spe.principal(cov, kept)
    assert basis.shape == (4, num) and len(rest) == 4 - num
