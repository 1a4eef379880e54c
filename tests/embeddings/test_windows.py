"""Sessions as sub-words: those of the joined text, with the states of that text."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.batches import reading, sequences
from metalog_jax.embeddings import encoder, texts, tokens, windows
from tests import builders, grids
from tests.embeddings import encoder_cases as cases
from tests.embeddings import test_encoder

TEXTS = (types.UNKNOWN_TEMPLATE, *cases.TEMPLATES)
LONGEST = 16
EVENTS = st.lists(st.integers(0, len(TEXTS) - 1), max_size=9)


@pytest.fixture(name='read', scope='module', params=['bert', 'roberta'])
def fixture_read(request, tmp_path_factory) -> windows.Windows:
  folder = cases.write(
    tmp_path_factory.mktemp('model') / request.param, cases.FORMS[request.param]
  )
  vectors = np.zeros((len(TEXTS), 24), np.float32)
  return windows.Windows(TEXTS, vectors, texts.Encoder(str(folder)), LONGEST)


def joined(events) -> str:
  named = (texts.as_text(TEXTS[event]) for event in events)
  return ' '.join(text for text in named if text)


@hypothesis.settings(
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(events=EVENTS)
def test_sub_words_are_those_of_the_joined_text(read, events):
  ids, places = read.sub_words(np.array(events, int))
  [expected] = tokens.encode(read._model.tokenizer, [joined(events)], LONGEST).ids
  np.testing.assert_array_equal(ids, expected)
  assert len(ids) == len(places) <= LONGEST and (places[[0, -1]] == -1).all()
  inside = places[1:-1]
  assert (np.diff(inside) >= 0).all() and set(inside) <= set(range(len(events)))
  shares = read.shares(np.array(events, int), np.ones(len(ids)))
  assert len(shares) == len(events) and shares.sum() == len(ids) - 2


def by_hand(read, ids) -> np.ndarray:
  model = read._model
  params = cases.weights(model.form)
  segments = encoder.segments_of(np.ones((1, len(ids)), bool))
  return np.asarray(encoder.apply(params, ids[None], segments, model.form))[0]


def test_states_are_the_encoders_in_any_company(read):
  rows = [read.sub_words(np.array(e))[0] for e in ([1, 2], [3], [4, 4, 4, 4, 4, 4], [])]
  found = read.states(rows)
  for ids, states in zip(rows, found):
    np.testing.assert_allclose(states, by_hand(read, ids), atol=1e-5)
  read._kept.clear()
  for ids, states in zip(rows, found):
    np.testing.assert_array_equal(read.states([ids])[0], states)


def test_a_window_is_encoded_once(read, monkeypatch):
  read._kept.clear()
  read._bytes, computed, compute = 0, [], read._compute
  monkeypatch.setattr(read, '_compute', lambda x: computed.extend(x) or compute(x))
  one, other = (read.sub_words(np.array(e))[0] for e in ([1, 2], [3]))
  read.states([one, other, one])
  read.states([one])
  assert len(computed) == 2
  assert read._bytes == 4 * 24 * (len(one) + len(other))
  monkeypatch.setattr(windows, 'BYTES', 4 * 24 * len(one))
  read.states([one])  # the other one goes
  assert list(read._kept) == [one.tobytes()] and read._bytes == windows.BYTES
  read.states([other])
  assert len(computed) == 3


def test_a_batch_has_a_row_for_each_sub_word(read):
  rows = [[1, 2], [0, 3], [4] * 9, [1, 2], []]
  data = types.Dataset('', builders.sessions(rows), read)
  seqs = reading.sequences(data, 0, 20)
  assert len(seqs.lengths) == 4 and seqs.inverse.tolist() == [0, 1, 2, 0, 3]
  draw = sequences.drawn(seqs.inverse, np.zeros(5))
  room = sequences.fit_room([(seqs, draw)], 8, LONGEST)
  batch = sequences.assemble(read, seqs, draw, room)
  assert batch.vectors.shape == (room.steps * room.rows, 24)
  for row, at in zip(draw.rows, grids.sequences(batch)):
    ids = seqs.events[seqs.offsets[row] : seqs.offsets[row + 1]]
    np.testing.assert_allclose(batch.vectors[at], by_hand(read, ids), atol=1e-5)


def test_parity_with_transformers_on_real_weights():
  """What LogRoBERTa computes of a window, by the library that it uses."""
  _, folder, _ = test_encoder.real()
  known = (
    types.UNKNOWN_TEMPLATE,
    'Receiving block <*> src: <*> dest: <*>',
    'PacketResponder <*> for block <BLK> terminating',
    'ciod: failed to read message prefix on control stream',
  )
  vectors = np.zeros((len(known), 384), np.float32)
  read = windows.Windows(known, vectors, texts.Encoder(text='template'), 128)
  sessions = [[1, 2, 2], [3] * 30, [0, 1]]
  rows = [read.sub_words(np.array(events))[0] for events in sessions]
  assert [len(ids) for ids in rows][1] == 128
  oracle = test_encoder.oracle()
  tokenizer = oracle.tokenizer(folder)
  for events, ids, states in zip(sessions, rows, read.states(rows)):
    text = ' '.join(texts.as_text(known[event], 'template') for event in events)
    expected = tokenizer(text, truncation=True, max_length=128)['input_ids']
    np.testing.assert_array_equal(ids, expected)
    mask = np.ones((1, len(ids)), bool)
    theirs = oracle.hidden_states(folder, ids[None], mask)[-1][0]
    np.testing.assert_allclose(states, theirs, rtol=0, atol=2e-5)


def test_who_has_no_such_model():
  with pytest.raises(ValueError, match='no such folder'):
    windows.Windows(('a',), np.zeros((1, 2)), texts.Encoder('/none'), 8)
