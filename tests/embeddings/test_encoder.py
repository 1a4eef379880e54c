"""The network against `transformers`, live or as stored by tests/golden."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax.embeddings import encoder, pretrained, rows, texts
from tests.embeddings import encoder_cases as cases

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'encoder.npz'
TEXTS = (
  'Receiving block blk_-160 src: /10.250.18.114:43996 dest: /10.250.18.114:50010',
  'ciod: failed to read message prefix on control stream',
  'Ünïcode 日志 and <unk> [MASK]',
  '',
)


def oracle():
  pytest.importorskip('transformers', reason='the live comparison needs `torch`')
  from tests.parity import hf_encoder

  return hf_encoder


def tokenized(tokenizer, texts):
  """ids and mask, padded at the right."""
  found = pretrained.tokenize(tokenizer, texts, 64).ids
  mask = np.arange(max(map(len, found))) < np.array([[len(one)] for one in found])
  ids = np.zeros(mask.shape, np.int32)
  ids[mask] = np.concatenate(found)
  return ids, mask


@functools.cache
def real():
  """Form, folder and weights of the pre-trained model."""
  try:
    folder = pretrained.find()
  except ValueError as error:
    pytest.skip(str(error))
  form = pretrained.read_form(folder)
  return form, folder, pretrained.read_weights(folder, form)


def segments_of(mask):
  """Of one text a row."""
  return np.where(mask, np.arange(1, len(mask) + 1, dtype=np.int32)[:, None], 0)


def ours(form, params, ids, mask, depth=None):
  return np.asarray(encoder.apply(params, ids, segments_of(mask), form, depth))


@pytest.mark.parametrize('source', ['transformers', 'golden'])
@pytest.mark.parametrize('padded', [False, True])
@pytest.mark.parametrize('name', cases.FORMS)
def test_parity_with_random_weights(name, padded, source, tmp_path):
  form = cases.FORMS[name]
  ids, mask = cases.batch(form, padded)
  if source == 'golden':
    theirs = np.load(GOLDEN)[f'{name} {padded}']
  else:
    folder = cases.write(tmp_path, form)
    theirs = oracle().hidden_states(folder, ids, mask)[-1]
  found = ours(form, cases.weights(form), ids, mask)
  np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5)
  other = ours(form, cases.weights(form, seed=1), ids, mask)
  assert np.abs(other - theirs).max() > 1  # the comparison can tell weights apart


@pytest.mark.parametrize('source', ['transformers', 'golden'])
def test_parity_with_real_weights(source):
  form, folder, params = real()
  ids, mask = tokenized(pretrained.read_tokenizer(folder, form), TEXTS)
  found = ours(form, params, ids, mask)[mask]  # at padding, float32 is noise in both
  if source == 'golden':
    theirs, found = np.load(GOLDEN)['real'], found[:, ::5]
  else:
    theirs = oracle().hidden_states(folder, ids, mask)[-1][mask]
  np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
  'form',
  [
    pretrained.Form('roberta', 50265, 768, 12, 12, 3072, 514, 1, 1, 1e-5),
    pretrained.Form('bert', 30522, 768, 12, 12, 3072, 512),
  ],
  ids=['roberta-base', 'bert-base'],
)
def test_parity_at_full_size(form, tmp_path):
  params = cases.weights(form)
  folder = cases.write(tmp_path, form, cases.flat(params))
  ids, mask = cases.batch(form, padded=True)
  theirs = oracle().hidden_states(folder, ids, mask)[-1]
  np.testing.assert_allclose(ours(form, params, ids, mask), theirs, rtol=0, atol=1e-5)


def test_parity_of_every_layer(tmp_path):
  form = cases.FORMS['bert']
  ids, mask = cases.batch(form, padded=True)
  theirs = oracle().hidden_states(cases.write(tmp_path, form), ids, mask)
  assert len(theirs) == form.layers + 1
  for depth, states in enumerate(theirs):
    found = ours(form, cases.weights(form), ids, mask, depth)
    np.testing.assert_allclose(found, states, rtol=0, atol=1e-5)


def test_padding_tokens_inside_a_roberta_text(tmp_path):
  """Its positions skip them, whatever the mask says."""
  form = cases.FORMS['roberta']
  ids, mask = cases.batch(form, padded=True)
  ids[:, 3] = form.padding
  theirs = oracle().hidden_states(cases.write(tmp_path, form), ids, mask)[-1]
  found = ours(form, cases.weights(form), ids, mask)
  np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', cases.FORMS)
def test_neither_padding_nor_company_changes_a_text(name):
  form, params = cases.FORMS[name], cases.weights(cases.FORMS[name])
  ids, mask = cases.batch(form, padded=True)
  parts = [ids[i, mask[i]] for i in range(len(ids))]
  [packed] = rows.batches(parts, 64, form.padding)
  assert len(packed.ids) == 1 and packed.segments.max() == len(parts)
  together = encoder.apply(params, packed.ids, packed.segments, form)
  for i, text in enumerate(packed.texts):
    alone = ours(form, params, parts[text][None], np.ones((1, len(parts[text])), bool))
    found = np.asarray(together)[packed.segments == i + 1]
    np.testing.assert_allclose(found, alone[0], atol=1e-5)
    for how, expected in (('mean', alone[0].mean(0)), ('first', alone[0][0])):
      pooled = encoder.pool(together, packed.segments, len(parts), how)
      np.testing.assert_allclose(pooled[i], expected, atol=1e-5)


def test_pooling_of_nothing_is_zero():
  hidden, segments = jnp.ones((2, 3, 4)), jnp.array([[3, 3, 0], [1, 0, 0]])
  for how in ('mean', 'first'):
    pooled = encoder.pool(hidden, segments, 3, how)
    np.testing.assert_array_equal(pooled.any(1), [True, False, True])


def test_random_params_are_what_the_files_have():
  form = cases.FORMS['roberta']
  params = encoder.random_params(jax.random.key(0), form)
  assert jax.tree.map(jnp.shape, params) == pretrained.weight_shapes(form)
  weights = params['layer_0']['output.dense.weight']
  assert 0.015 < weights.std() < 0.025 and abs(weights.mean()) < 0.005
  assert (params['layer_0']['output.LayerNorm.weight'] == 1).all()
  assert not params['layer_0']['output.dense.bias'].any()


def test_half_precision_of_real_weights():
  real()
  wide, half = (
    texts.compute(texts.load(c), texts.params_of(texts.load(c), c), 'mean', TEXTS)
    for c in (texts.Encoder(), texts.Encoder(dtype='bfloat16'))
  )
  for one, other in zip(wide, half):
    assert other.dtype == np.float32
    cosine = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
    assert 0.999 < cosine < 1 and not np.array_equal(one, other)
