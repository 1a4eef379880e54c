"""Sessions read as sub-words: the same network, on the states of the joined text."""

import dataclasses

import jax
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import reading
from metalog_jax.detectors import logmeta
from metalog_jax.embeddings import encoder, gcse, texts, tokens
from metalog_jax.evaluation import scoring
from tests import builders, grids
from tests.detectors import test_conformance
from tests.embeddings import encoder_cases as cases

quick_compilation = test_conformance.quick_compilation
TEXTS = (types.UNKNOWN_TEMPLATE, *cases.TEMPLATES)
ROWS = [[1, 2], [4, 4, 4, 1], [5], [1, 2, 0, 3, 1, 1]]


@pytest.fixture(name='config', scope='module')
def fixture_config(tmp_path_factory) -> logmeta.Config:
  folder = cases.write(tmp_path_factory.mktemp('model'), cases.FORMS['bert'])
  change = {'token_level': True, 'max_tokens': 14, 'hidden': 3, 'collapse': 0}
  return dataclasses.replace(
    logmeta.Config(), embedding=texts.Encoder(str(folder)), **change
  )


def test_scores_and_shares_are_of_the_joined_texts(config):
  vectors = np.zeros((len(TEXTS), 24), np.float32)
  table = logmeta.reader(config, TEXTS, vectors)
  data = types.Dataset('', builders.sessions(ROWS), table)
  detector = logmeta.make(config)
  state = detector.init(jax.random.key(0), types.Transfer((data,), data))
  # The same by hand: a table of all states, a session of row numbers for each text.
  model, params = texts.load(config.embedding), cases.weights(cases.FORMS['bert'])
  states, sessions = [], []
  for row in ROWS:
    text = ' '.join(filter(None, (texts.as_text(TEXTS[event]) for event in row)))
    [ids] = tokens.encode(model.tokenizer, [text], 14).ids
    segments = encoder.segments_of(np.ones((1, len(ids)), bool))
    sessions.append(np.arange(len(ids)) + sum(map(len, states)))
    states.append(np.asarray(encoder.apply(params, ids[None], segments, model.form)[0]))
  ones = np.ones(len(ROWS), np.float32)
  batch = grids.lay(sessions, np.concatenate(states), ones, ones)
  scorer = scoring.Scorer(detector)
  expected = jax.jit(detector.score)(state, batch)
  np.testing.assert_allclose(scorer.scores(state, data), expected, atol=1e-6)
  assert np.ptp(expected) > 1e-4
  weights = grids.split(jax.jit(detector.explain)(state, batch), batch)
  first = weights[0][1:-1]  # received packet of num | disk failure while writing
  num = len(table.sub_words(np.array([1]))[0]) - 2
  shares = np.array([first[:num].sum(), first[num:].sum()]) / first.sum()
  np.testing.assert_allclose(scorer.weights(state, data)[0], shares, rtol=1e-4)


def test_sessions_that_read_alike_are_one_sequence(config):
  rows = [[1] * 9, [1], [1] * 8 + [2]]  # both long ones are cut to the same sub-words
  table = logmeta.reader(config, TEXTS, np.zeros((len(TEXTS), 24), np.float32))
  seqs = reading.sequences(types.Dataset('', builders.sessions(rows), table), 0, 14)
  first, short, last = seqs.inverse
  assert first == last != short and len(seqs.lengths) == 2
  assert seqs.lengths[first] == 14 > seqs.lengths[short]


def test_what_is_read_without_an_encoder(config):
  plain = logmeta.Config()
  data = types.Dataset('', builders.sessions(ROWS), np.zeros((len(TEXTS), 2)))
  seqs = reading.sequences(data, 0, 5)
  np.testing.assert_array_equal(seqs.lengths, [2, 4, 1, 5])
  weights = np.ones(2)
  assert reading.per_event(data, np.array([1, 2]), weights) is weights
  assert plain.most_events == 96 and config.most_events == 14
  words = dataclasses.replace(config, embedding=gcse.Embedding())
  with pytest.raises(ValueError, match='token_level needs an encoder.*--encoder'):
    logmeta.make(words)
  with pytest.raises(ValueError, match='token_level reads an encoder that is not'):
    logmeta.make(dataclasses.replace(config, encoder_trainable=1))
