"""BERT and RoBERTa: pure functions over parameters that have Hugging Face's names.

Parameters are {'embeddings': {...}, 'layer_0': {...}, 'layer_1': {...}, ...}, and each
group has the names and layouts (`weight` [outputs, inputs]) of the published models.

A row of tokens may hold several texts one after another: `segments` [B, L] int32 says
which text a token is of, numbered from 1, and 0 at padding, which comes last. Texts do
not see each other.

References:
  Devlin et al, BERT, NAACL 2019; Liu et al, RoBERTa, 2019 (arXiv 1907.11692).
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.embeddings import pretrained

Array = types.Array
Form = pretrained.Form
Params = Mapping[str, Mapping[str, Array]]

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  'gelu': functools.partial(jax.nn.gelu, approximate=False),
  'gelu_new': functools.partial(jax.nn.gelu, approximate=True),
  'relu': jax.nn.relu,
}


def positions(ids: Array, segments: Array, form: Form) -> Array:
  """The position of every token in its text, [B, L] int32.

  BERT counts from 0. RoBERTa counts the tokens that are not padding, from the
  padding's id + 1 on; a padding token stands at the padding's id.
  """
  counts = ids != form.padding if form.family == 'roberta' else jnp.ones_like(ids)
  counts = counts.astype(jnp.int32)
  before = jnp.pad(segments, ((0, 0), (1, 0)))[:, :-1]
  is_first = (segments != before) & (segments != 0)
  total = jnp.cumsum(counts, axis=1)
  in_text = total - jax.lax.cummax(jnp.where(is_first, total - counts, 0), axis=1)
  return in_text * counts + form.padding if form.family == 'roberta' else in_text - 1


@functools.partial(jax.jit, static_argnames='form')
def embed(
  params: Mapping[str, Array], ids: Array, segments: Array, form: Form
) -> Array:
  """What enters the first layer: [B, L, D].

  Args:
    params: of 'embeddings'.
    ids: [B, L] int32 tokens.
    segments: [B, L] int32.
    form: the shape of the model.
  """
  hidden = params['word_embeddings.weight'][ids]
  hidden += params['token_type_embeddings.weight'][0]  # all of the first sentence
  hidden += params['position_embeddings.weight'][positions(ids, segments, form)]
  return _normalize(params, 'LayerNorm', hidden, form)


@functools.partial(jax.jit, static_argnames='form')
def layer(
  params: Mapping[str, Array], hidden: Array, segments: Array, form: Form
) -> Array:
  """One layer: self-attention and two dense layers, each normalized with its input.

  Jitted by itself: all layers have the same shapes, so one program serves them all.

  Args:
    params: of 'layer_<i>'.
    hidden: [B, L, D].
    segments: [B, L] int32.
    form: the shape of the model.
  """
  dense = functools.partial(_dense, params)
  heads = lambda name: _split(dense(f'attention.self.{name}', hidden), form.heads)
  context = attend(heads('query'), heads('key'), heads('value'), segments)
  context = context.swapaxes(1, 2).reshape(hidden.shape)
  context = dense('attention.output.dense', context)
  hidden = _normalize(params, 'attention.output.LayerNorm', hidden + context, form)
  inner = _ACTIVATIONS[form.activation](dense('intermediate.dense', hidden))
  outer = dense('output.dense', inner)
  return _normalize(params, 'output.LayerNorm', hidden + outer, form)


def attend(query: Array, key: Array, value: Array, segments: Array) -> Array:
  """softmax(Q Kᵀ / sqrt(d)) V over the tokens of the same text, [B, heads, L, d].

  The division by the softmax's sum comes last: it is over [L, d] instead of [L, L],
  and XLA's CPU backend would otherwise fuse exp into the product and take it anew for
  every column. Padding asks all texts of its row, as it does in the published models.

  Args:
    query, key, value: [B, heads, L, d].
    segments: [B, L] int32.
  """
  precision = _precision(query)
  scores = jnp.matmul(query, key.swapaxes(2, 3), precision=precision)
  scores = _at_least_float32(scores) / math.sqrt(query.shape[-1])
  of_query, of_key = segments[:, :, None], segments[:, None, :]
  is_seen = (of_key != 0) & ((of_key == of_query) | (of_query == 0))
  scores = jnp.where(is_seen[:, None], scores, jnp.finfo(scores.dtype).min)
  shares = jnp.exp(scores - scores.max(-1, keepdims=True))
  context = jnp.matmul(shares.astype(value.dtype), value, precision=precision)
  return (context / shares.sum(-1, keepdims=True)).astype(value.dtype)


def apply(
  params: Params, ids: Array, segments: Array, form: Form, depth: int | None = None
) -> Array:
  """The hidden states after `depth` layers (None: all), [B, L, D]; see `embed`."""
  hidden = embed(params['embeddings'], ids, segments, form)
  for i in range(form.layers if depth is None else depth):
    hidden = layer(params[f'layer_{i}'], hidden, segments, form)
  return hidden


def pool(
  hidden: Array, segments: Array, num: int, how: pretrained.Pooling = 'mean'
) -> Array:
  """One vector for each of the texts 1..num, [num, D], float32 at least.

  mean: over the tokens of the text; first: the state of its first token ([CLS] or
  <s>). What no token is of becomes zero.
  """
  texts = segments.ravel()
  states = _at_least_float32(hidden).reshape(len(texts), -1)
  if how == 'first':
    texts = jnp.where(texts != jnp.pad(texts, (1, 0))[:-1], texts, 0)
  sums = jax.ops.segment_sum(states, texts, num + 1)[1:]
  uses = jax.ops.segment_sum(jnp.ones_like(texts), texts, num + 1)[1:]
  return sums / jnp.maximum(uses, 1)[:, None]


def _split(x: Array, heads: int) -> Array:
  """[B, L, D] -> [B, heads, L, D / heads]."""
  return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _dense(params: Mapping[str, Array], name: str, x: Array) -> Array:
  weight, bias = params[f'{name}.weight'], params[f'{name}.bias']
  return jnp.matmul(x, weight.T, precision=_precision(x)) + bias


def _normalize(params: Mapping[str, Array], name: str, x: Array, form: Form) -> Array:
  """Layer norm, in float32 at least."""
  wide = _at_least_float32(x)
  centred = wide - wide.mean(-1, keepdims=True)
  spread = jnp.square(centred).mean(-1, keepdims=True)
  normal = centred * jax.lax.rsqrt(spread + form.epsilon)
  normal = normal * params[f'{name}.weight'] + params[f'{name}.bias']
  return normal.astype(x.dtype)


def _precision(x: Array) -> jax.lax.Precision | None:
  """Accelerators round the factors of float32 products unless asked not to."""
  return None if x.dtype == jnp.bfloat16 else jax.lax.Precision.HIGHEST


def _at_least_float32(x: Array) -> Array:
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def random_params(key: Array, form: Form) -> Params:
  """Random parameters as both papers start them.

  N(0, 0.02) for weights, zero for biases, one for the norms' weights.
  """
  groups = pretrained.weight_shapes(form).items()
  keys = jax.random.split(key, len(groups))
  return {name: _draw(k, shapes) for k, (name, shapes) in zip(keys, groups)}


def _draw(key: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
  params = {}
  for number, (name, shape) in enumerate(shapes.items()):
    if name.endswith('bias'):
      params[name] = jnp.zeros(shape)
    elif 'LayerNorm' in name:
      params[name] = jnp.ones(shape)
    else:
      params[name] = 0.02 * jax.random.normal(jax.random.fold_in(key, number), shape)
  return params
