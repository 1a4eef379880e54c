"""Templates to event vectors: each distinct text once, kept, whatever the company."""

import logging
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import errors
from metalog_jax.embeddings import (
  encoder,
  gcse,
  pretrained,
  rows,
  sources,
  texts,
  vector_cache,
)
from tests.embeddings import encoder_cases as cases
from tests.embeddings import test_encoder

SYSTEM = ('<unknown>', *cases.TEMPLATES)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> pathlib.Path:
  monkeypatch.setenv(vector_cache.VARIABLE, str(tmp_path / 'cache'))
  return tmp_path / 'cache'


@pytest.fixture(scope='module', params=['bert', 'roberta'])
def config(request, tmp_path_factory) -> texts.Encoder:
  folder = tmp_path_factory.mktemp('model') / request.param
  return texts.Encoder(str(cases.write(folder, cases.FORMS[request.param])))


def changed(config, **fields):
  return texts.Encoder(config.path, **fields)


def by_hand(config, templates):
  """Hidden states and mask of one padded batch."""
  model = texts.load(config)
  read = [texts.as_text(template) for template in templates]
  ids, mask = test_encoder.tokenized(model.tokenizer, read)
  ids[~mask] = model.form.padding
  segments, params = test_encoder.segments_of(mask), cases.weights(model.form)
  states = encoder.apply(params, ids, segments, model.form)
  return np.asarray(states), mask


def no_computing(monkeypatch):
  def refuse(*_):
    raise AssertionError('computed again')

  monkeypatch.setattr(texts, 'compute', refuse)


def test_a_table_is_the_encoders_vectors(config):
  [table] = texts.embed([SYSTEM], config)
  states, mask = by_hand(config, cases.TEMPLATES)
  for event, (own, kept) in enumerate(zip(states, mask), start=1):
    np.testing.assert_allclose(table.vectors[event], own[kept].mean(0), atol=1e-5)
  np.testing.assert_allclose(table.vectors[0], table.vectors[1:].mean(0), atol=1e-6)
  assert table.vectors.dtype == np.float32
  np.testing.assert_array_equal(table.vectors[1:], texts.encode(SYSTEM[1:], config))


def test_pooling_by_the_first_token(config):
  states, _ = by_hand(config, cases.TEMPLATES)
  vectors = texts.encode(cases.TEMPLATES, changed(config, pooling='first'))
  np.testing.assert_allclose(vectors, states[:, 0], atol=1e-5)


def test_fit_and_coverage(tmp_path):
  config = texts.Encoder(str(cases.write(tmp_path, cases.FORMS['bert'])), max_tokens=5)
  mask = np.zeros(len(SYSTEM), bool)
  mask[[0, 2, 4]] = True
  first, second = texts.embed([SYSTEM, SYSTEM[:2]], config, [mask, None])
  expected = first.vectors[[2, 4]].mean(0)
  np.testing.assert_allclose(first.vectors[0], expected, atol=1e-6)
  np.testing.assert_array_equal(second.vectors[1], first.vectors[1])
  coverage = first.coverage
  assert coverage.unknown == {'zzz': 1} and coverage.cut == 4
  assert (coverage.words, coverage.known) == (13, 12) and coverage.uses == 18
  assert (coverage.events, coverage.zero_events, coverage.fitted_events) == (6, 0, 3)
  assert not coverage.warning('s')
  with pytest.raises(errors.UserError, match='mask'):
    texts.embed([SYSTEM], config, [mask[1:]])


@pytest.mark.parametrize('template,as_words', [
  ('PacketResponder <*> for <BLK>', 'packet responder for blk'),
  ('[*] sent 12 [NUM] times', 'sent num times'),
  ('<*>', ''),
  ('a  <b> /<*>:<*>', 'a b'),
])  # fmt: skip
def test_templates_as_text(template, as_words):
  assert texts.as_text(template) == as_words


def test_nothing_is_computed_twice(config, monkeypatch):
  computed, compute = [], texts.compute

  def count(*arguments):
    computed.extend(arguments[-1])
    return compute(*arguments)

  monkeypatch.setattr(texts, 'compute', count)
  [table] = texts.embed([[*SYSTEM, *SYSTEM[1:]]], config)
  assert len(computed) == len(cases.TEMPLATES)
  [more] = texts.embed([[*SYSTEM, 'stored copy']], config)
  assert computed[len(cases.TEMPLATES) :] == ['stored copy']
  np.testing.assert_array_equal(more.vectors[1:-1], table.vectors[1 : len(SYSTEM)])
  no_computing(monkeypatch)
  [again] = texts.embed([[*SYSTEM, 'stored copy']], config)
  np.testing.assert_array_equal(again.vectors, more.vectors)
  [empty] = texts.embed([['<unknown>']], config)  # nothing is no reason to compute
  assert empty.vectors.shape == (1, 24) and texts.encode([], config).shape == (0, 24)


@pytest.mark.parametrize(
  'change',
  [
    {'pooling': 'first'},
    {'dtype': 'bfloat16'},
    {'weights': 'random'},
    {'max_tokens': 4},
  ],
)
def test_other_settings_are_other_vectors(config, change):
  before = texts.encode(cases.TEMPLATES, config)
  assert not np.array_equal(
    before, texts.encode(cases.TEMPLATES, changed(config, **change))
  )


def test_other_weights_are_other_vectors(tmp_path):
  form = cases.FORMS['bert']
  config = texts.Encoder(str(cases.write(tmp_path, form)))
  before = texts.encode(cases.TEMPLATES, config)
  cases.write(tmp_path, form, cases.flat(cases.weights(form, seed=1)))
  assert np.abs(texts.encode(cases.TEMPLATES, config) - before).max() > 0.1


def test_damaged_files_are_passed_by(config, cache, caplog):
  before = texts.encode(cases.TEMPLATES, config)
  [path] = cache.rglob('*.npz')
  path.write_bytes(path.read_bytes()[:-100])
  with caplog.at_level(logging.WARNING):
    after = texts.encode(cases.TEMPLATES, config)
  assert 'damaged' in caplog.text
  np.testing.assert_array_equal(before, after)
  caplog.clear()
  texts.encode(cases.TEMPLATES, config)
  assert not caplog.text  # it was written anew


def test_a_write_that_is_broken_off_leaves_no_file(config, cache, monkeypatch, caplog):
  def fail(path, **_):
    path.write_bytes(b'PK half of it')
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(np, 'savez', fail)
  texts.encode(cases.TEMPLATES, config)
  assert 'No space left' in caplog.text
  assert not [p for p in cache.rglob('*') if p.is_file()]


def test_where_the_cache_is(cache, monkeypatch):
  assert vector_cache.root() == cache
  monkeypatch.delenv(vector_cache.VARIABLE)
  monkeypatch.setenv('XDG_CACHE_HOME', '/x')
  assert vector_cache.root() == pathlib.Path('/x/metalog_jax')


@hypothesis.settings(max_examples=50)
@hypothesis.given(
  st.lists(st.integers(2, 300), max_size=60), st.sampled_from([64, 512])
)
def test_rows_hold_every_token_once(lengths, cells):
  parts = [np.arange(n, dtype=np.int32) + 1000 * i for i, n in enumerate(lengths)]
  seen, shapes = [], set()
  for batch in rows.batches(parts, cells, padding=7):
    shapes.add(batch.ids.shape)
    for number, text in enumerate(batch.texts, start=1):
      at = batch.segments == number
      assert len(np.unique(np.nonzero(at)[0])) == 1  # in one row, in order
      np.testing.assert_array_equal(batch.ids[at], parts[text])
      seen.append(text)
    assert (batch.ids[batch.segments == 0] == 7).all()
  assert sorted(seen) == list(range(len(lengths)))
  assert len(shapes) <= 19  # 64, 72, 80, ..., 128, 144, ..., 256, 288, 320


def test_rows_are_full_whatever_the_lengths():
  rng = np.random.default_rng(0)
  for low, high, most in ((3, 30, 1.05), (65, 75, 1.1), (10, 128, 1.1)):
    lengths = rng.integers(low, high, 1000)
    placed = rows.place(lengths.tolist())
    assert sum(width for width, _ in placed) < most * lengths.sum()
    assert all(lengths[row].sum() <= width for width, row in placed)
    assert len({width for width, _ in placed}) <= 9


def test_many_texts_take_few_compilations(config):
  rng = np.random.default_rng(0)
  many = [' '.join(rng.choice(cases.WORDS, n)) for n in rng.integers(1, 30, 300)]
  before = encoder.layer._cache_size()
  texts.encode(many, config)
  assert encoder.layer._cache_size() - before <= 2


def test_the_default_encoder_knows_what_words_mean():
  try:
    pretrained.find()
  except errors.UserError as error:
    pytest.skip(str(error))
  pairs = ('disk failure while writing', 'storage error during write', 'user logged in')
  vectors = texts.encode(pairs)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  alike, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
  assert alike > other + 0.2


def test_the_source_is_chosen_by_its_config(config):
  [table] = sources.embed([SYSTEM], config)
  assert table.vectors.shape == (len(SYSTEM), 24)
  np.testing.assert_array_equal(sources.encode(SYSTEM[1:], config), table.vectors[1:])
  assert sources.can_extend(config) and not sources.can_extend(gcse.Embedding())
  with pytest.raises(errors.UserError, match='embed them together'):
    sources.encode(SYSTEM[1:], gcse.Embedding())


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('pooling', 'maen', "did you mean 'mean'"),
    ('weights', 'trained ', "did you mean 'trained'"),
    ('max_tokens', 2, 'max_tokens=2'),
  ],
)
def test_wrong_settings_are_refused_when_they_are_made(field, value, message):
  with pytest.raises(errors.UserError, match=message):
    texts.Encoder(**{field: value})


def test_a_cache_of_the_first_version_is_read(config, cache):
  """It held the number of rows of each text as well: one."""
  vectors = texts.encode(cases.TEMPLATES, config)
  [path] = cache.rglob('*.npz')
  with np.load(path) as file:
    content = {**file, 'lengths': np.ones(len(file['texts']), int)}
  content['values'] = content['values'] + 1
  np.savez(path, **content)
  np.testing.assert_array_equal(texts.encode(cases.TEMPLATES, config), vectors + 1)
