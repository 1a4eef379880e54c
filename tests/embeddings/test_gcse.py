"""Event vectors against hand-computed ones and a slow restatement of Eq. 1."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import errors
from metalog_jax.embeddings import gcse, word_vectors, words

VOCABULARY = ['alpha', 'beta', 'gamma', 'delta', 'num']


@pytest.fixture(scope='module')
def loaded():
  return _loaded()


def _loaded():
  table = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
  return word_vectors.WordVectors({w: i for i, w in enumerate(VOCABULARY)}, table)


def embed(systems, loaded, fit=None, **config):
  config = gcse.Embedding(**config)
  return gcse.embed([['<unknown>', *texts] for texts in systems], config, fit, loaded)


def test_paper_by_hand(loaded):
  # n_l = 2; alpha is in both events, beta in one, gamma in one
  [table] = embed([['alpha beta <*> beta', 'alphaGamma']], loaded)
  ln2 = math.log(2)
  # n_e = 3; beta twice: each of its 2 terms is (2 / 3) ln 2 beta; alpha's idf is 0
  first = (1 / 3) * 2 * (2 / 3) * ln2 * loaded['beta']
  second = (1 / 2) * (1 / 2) * ln2 * loaded['gamma']
  np.testing.assert_allclose(table.vectors[1], first, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(table.vectors[2], second, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(
    table.vectors[0], (first + second) / 2, rtol=1e-5, atol=1e-7
  )
  assert table.vectors.dtype == np.float32


def test_reference_by_hand(loaded):
  # T = 2; occurrences: alphaBeta 1, beta 3, [*]'s * 1; case-sensitive, unsplit
  [table] = embed([['alphaBeta beta: [*]', 'beta beta']], loaded, variant='reference')
  u = (loaded['alpha'] + loaded['beta']) / 2
  first = (1 / 3) * math.log(2 / 1) * u + (1 / 3) * math.log(2 / 3) * loaded['beta']
  second = 2 * (2 / 2) * math.log(2 / 3) * loaded['beta']
  np.testing.assert_allclose(table.vectors[1], first, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(table.vectors[2], second, rtol=1e-5, atol=1e-7)


def test_joint_and_per_system_idf(loaded):
  systems = [['alpha', 'beta'], ['alpha', 'gamma', 'delta']]
  joint, own = embed(systems, loaded), embed(systems, loaded, idf='per_system')
  ratio = lambda table: table[0].vectors[1][0] / loaded['alpha'][0]
  assert ratio(joint) == pytest.approx(math.log(5 / 2), rel=1e-5)
  assert ratio(own) == pytest.approx(math.log(2 / 1), rel=1e-5)


def test_fit_counts_training_templates_alone(loaded):
  texts = ['alpha', 'beta', 'beta gamma', 'delta']
  mask = np.array([True, True, True, False, False])  # the unknown event never counts
  [table] = embed([texts], loaded, [mask])
  beta, gamma, delta = (loaded[word] for word in ('beta', 'gamma', 'delta'))
  # n_l = 2; gamma and delta are in no fitted template: they count as if in one
  third = (1 / 2) * (1 / 2) * math.log(2) * (beta + gamma)
  np.testing.assert_allclose(table.vectors[3], third, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(
    table.vectors[4], math.log(2) * delta, rtol=1e-5, atol=1e-7
  )
  np.testing.assert_allclose(
    table.vectors[0], table.vectors[1:3].mean(0), rtol=1e-5, atol=1e-7
  )


def test_unknown_words_count_as_zero(loaded):
  vector = embed([['alpha zzz', 'beta']], loaded)[0].vectors[1]
  expected = math.log(2) / 4 * loaded['alpha']
  np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-7)


def test_events_without_words_are_zero(loaded):
  [table] = embed([['<*> <*>', 'alpha', 'zzz']], loaded)
  assert not table.vectors[1].any() and not table.vectors[3].any()
  [empty] = embed([[]], loaded)
  assert empty.vectors.shape == (1, 3) and not empty.vectors.any()


def test_coverage(loaded):
  [table] = embed([['alpha zzz', 'zzz beta yyy <*>']], loaded)
  coverage = table.coverage
  counts = (coverage.words, coverage.known, coverage.uses, coverage.known_uses)
  assert counts == (4, 2, 5, 2)
  assert list(coverage.unknown.items()) == [('zzz', 2), ('yyy', 1)]
  assert (coverage.events, coverage.zero_events, coverage.fitted_events) == (2, 0, 2)


@pytest.mark.parametrize(
  'texts, fit, flag',
  [
    (['alpha', 'beta'], [False] * 3, '--fit=all'),  # no training session
    (['zzz', 'yyy xxx'], None, '--vectors'),
    (['<*>', '<*> 7'], None, '--vectors'),
    (['alpha <*>', 'alpha'], None, '--encoder'),  # the word is everywhere
    ([*['zzz'] * 19, 'alpha'], None, '--vectors'),  # nearly all
  ],
)
def test_vectors_that_show_nothing_are_warned_of(texts, fit, flag, loaded):
  fit = [np.array(fit)] if fit else None
  [table] = embed([texts], loaded, fit, idf='per_system')
  warning = table.coverage.warning('hdfs')
  zeros = (~table.vectors[1:].any(1)).sum()
  assert warning.startswith(f'hdfs: {zeros} of {len(texts)} event vectors are zero')
  assert flag in warning and '\n' not in warning


def test_a_few_zero_vectors_are_no_reason_to_warn(loaded):
  [table] = embed([['alpha', 'beta', '<*>', 'zzz']], loaded)
  assert table.coverage.zero_events == 2 and not table.coverage.warning('hdfs')
  [empty] = embed([[]], loaded)
  assert not empty.coverage.warning('hdfs')


def test_wrong_choices_are_refused_with_the_nearest_word():
  with pytest.raises(errors.UserError, match="did you mean 'joint'"):
    gcse.Embedding(idf='jiont')


def test_a_wrong_mask(loaded):
  with pytest.raises(errors.UserError, match='mask'):
    embed([['alpha']], loaded, [np.ones(5, bool)])


def _slow(templates, loaded):
  """Eq. 1 as printed: a loop over words w_i with every count taken anew."""
  table = []
  for text in templates:
    event = words.words(text)
    n_e, vector = len(event), np.zeros(3)
    for w_i in event:
      n_w = sum(w == w_i for w in event)
      n_l_w = sum(w_i in words.words(other) for other in templates)
      if w_i in loaded.rows:
        vector += n_w / n_e * math.log(len(templates) / n_l_w) * loaded[w_i]
    table.append(vector / n_e if n_e else vector)
  return np.array(table).reshape(-1, 3)


_texts = st.lists(
  st.lists(st.sampled_from([*VOCABULARY, 'zzz', '<*>', '7']), max_size=6).map(' '.join),
  min_size=1,
  max_size=6,
)


@hypothesis.settings(deadline=None)
@hypothesis.given(_texts)
def test_agrees_with_the_slow_statement(texts):
  loaded = _LOADED
  [table] = embed([texts], loaded)
  np.testing.assert_allclose(table.vectors[1:], _slow(texts, loaded), atol=1e-6)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  _texts,
  st.randoms(use_true_random=False),
  st.sampled_from(['paper', 'reference']),
)
def test_laws(texts, random, variant):
  config = {'variant': variant}
  [table] = embed([texts], _LOADED, **config)
  order = list(range(len(texts)))
  random.shuffle(order)
  [moved] = embed([[texts[i] for i in order]], _LOADED, **config)
  moved_rows, rows = moved.vectors[1:], table.vectors[1:][order]
  np.testing.assert_allclose(moved_rows, rows, atol=1e-6)  # order of templates
  [split] = embed([texts[:1], texts[1:]], _LOADED, **config)[:1]
  np.testing.assert_allclose(split.vectors[1], table.vectors[1], atol=1e-6)  # joint
  reverse = [' '.join(reversed(text.split(' '))) for text in texts]
  [turned] = embed([reverse], _LOADED, **config)
  np.testing.assert_allclose(turned.vectors, table.vectors, atol=1e-6)  # bag of words
  [twice] = embed([texts, texts], _LOADED, **{**config, 'variant': 'paper'})[:1]
  [once] = embed([texts], _LOADED, **{**config, 'variant': 'paper'})
  np.testing.assert_allclose(
    twice.vectors, once.vectors, atol=1e-6
  )  # a ratio of counts


_LOADED = _loaded()
