"""Event vectors from a pre-trained encoder: each distinct text is encoded once."""

import collections
import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, flags, types
from metalog_jax.embeddings import (
  pretrained,
  rows,
  tables,
  tokens,
  vector_cache,
  weight_files,
  words,
)

_CPU_CELLS, _CELLS = 1 << 9, 1 << 14  # of a batch: what caches and accelerators like
_VERSION = 1  # of what a text becomes: a new one leaves the old cache alone
_VARIABLE = re.compile(r'<\*>|\[\*\]|[<\[]([A-Z_]+)[>\]]')


@dataclasses.dataclass(frozen=True)
class Encoder:
  """How templates become vectors; pooling and length are our choice where not cited.

  The siblings of LogMeta read at most 128 sub-words (LogRoBERTa, SemiRALD). How a
  template becomes text is ours: `words`, as for word vectors, leaves out wildcards
  (`<*>`) and symbols, splits camel case, and takes a mask's name (`<IP>`) as a word;
  `template` leaves out wildcards alone and takes masks' names as words.
  """

  path: str = flags.field(
    pretrained.DEFAULT, 'folder of a BERT or RoBERTa in Hugging Face form'
  )
  weights: Literal['trained', 'random'] = flags.field(
    'trained', 'random: the same network without its training'
  )
  pooling: pretrained.Pooling = flags.field('mean', 'over the tokens of a text')
  layer: int = flags.field(-1, 'hidden states of this layer; 0: embeddings, -1: last')
  max_tokens: int = flags.field(128, 'sub-words of a text that are read')
  text: Literal['words', 'template'] = flags.field('words', 'what of a template')
  dtype: Literal['float32', 'bfloat16'] = flags.field('float32', 'to compute in')


class Model(NamedTuple):
  """An encoder that is ready but for its weights, which may not be needed."""

  folder: pathlib.Path
  form: pretrained.Form
  tokenizer: Any
  longest: int  # tokens that are read of a text
  depth: int  # layers that are computed


def load(config: Encoder) -> Model:
  """Finds a model and reads all but its weights.

  Raises:
    UserError: there is no such model, or it is damaged, or has no such layer.
  """
  folder = pretrained.find(config.path)
  form = pretrained.read_form(folder)
  depth = config.layer + (form.layers + 1 if config.layer < 0 else 0)
  if not 0 <= depth <= form.layers:
    raise errors.UserError(
      f'{folder}: no layer {config.layer}, the last is {form.layers}'
    )
  if config.max_tokens < 3:
    raise errors.UserError(f'max_tokens={config.max_tokens} leaves no room for a word')
  longest = min(config.max_tokens, form.longest)
  return Model(folder, form, tokens.load(folder, form), longest, depth)


def embed(
  systems: Sequence[Sequence[str]],
  config: Encoder = Encoder(),
  fit: Sequence[np.ndarray | None] | None = None,
) -> list[tables.Table]:
  """Embed the templates of systems; see `gcse.embed`, whose interface this has.

  Nothing is fitted but the unknown event, the mean of the templates in `fit`.
  """
  model = load(config)
  distinct = dict.fromkeys(text for texts in systems for text in texts[1:])
  vectors = dict(zip(distinct, encode(list(distinct), config)))
  found = []
  for texts, mask in zip(systems, fit or [None] * len(systems), strict=True):
    table = np.zeros((len(texts), model.form.hidden), np.float32)
    for event, text in enumerate(texts):
      if event != types.UNKNOWN:
        table[event] = vectors[text]
    table = tables.with_unknown(table, tables.fitted(texts, mask))
    found.append(tables.Table(table, _coverage(model, texts[1:], config)))
  return found


def encode(templates: Sequence[str], config: Encoder = Encoder()) -> np.ndarray:
  """The vectors of templates, [n, D] float32."""
  found = _encode(templates, config)
  return np.concatenate(found) if found else np.zeros((0, load(config).form.hidden))


def as_text(template: str, how: Literal['words', 'template'] = 'words') -> str:
  """What the encoder reads of a template.

  >>> as_text('PacketResponder <*> for block <BLK> terminating')
  'packet responder for block blk terminating'
  >>> as_text('PacketResponder <*> for block <BLK> terminating', 'template')
  'PacketResponder for block blk terminating'
  """
  if how == 'words':
    return ' '.join(words.words(template))
  named = _VARIABLE.sub(lambda m: (m[1] or '').lower(), template)
  return ' '.join(named.split())


def _encode(templates: Sequence[str], config: Encoder) -> list[np.ndarray]:
  """The vector [1, D] of every template, from the cache where it has it."""
  model = load(config)
  texts = [as_text(template, config.text) for template in templates]
  cache = vector_cache.Cache(_key(model, config))
  found = cache.get(texts)
  if new := [text for text in dict.fromkeys(texts) if text not in found]:
    made = dict(zip(new, compute(model, params_of(model, config), config.pooling, new)))
    cache.put(made)
    found |= made
  return [found[text] for text in texts]


def _key(model: Model, config: Encoder) -> str:
  files = (pretrained.CONFIG, pretrained.WEIGHTS, *tokens.FILES)
  content = [
    *(_VERSION, pretrained.fingerprint(model.folder, files), config.weights),
    *(config.pooling, model.depth, model.longest, config.dtype),
  ]
  return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def params_of(model: Model, config: Encoder):
  """The parameters for `encoder.apply`, in the type to compute in."""
  import jax
  import jax.numpy as jnp

  from metalog_jax.embeddings import encoder

  if config.weights == 'random':
    params = encoder.start(jax.random.key(0), model.form)
  else:
    params = weight_files.read(model.folder, model.form)
  return jax.tree.map(lambda x: jnp.asarray(x, config.dtype), params)


def cells() -> int:
  """Of a batch of tokens: rows times tokens of a row."""
  import jax

  return _CPU_CELLS if jax.default_backend() == 'cpu' else _CELLS


def compute(
  model: Model, params, how: pretrained.Pooling, read: Sequence[str]
) -> list[np.ndarray]:
  """Encodes texts, without a cache: one vector [1, D] float32 of each.

  Args:
    params: as `params_of` makes them.
    how: tokens are pooled.
    read: distinct texts, as `as_text` makes them of templates.
  """
  import jax

  from metalog_jax.embeddings import encoder

  pool = jax.jit(encoder.pool, static_argnames=('num', 'how'))
  ids = tokens.encode(model.tokenizer, read, model.longest).ids
  made: list[Any] = [None] * len(read)
  for batch in rows.batches(ids, cells(), model.form.padding):
    args = batch.segments, model.form
    hidden = encoder.apply(params, batch.ids, *args, depth=model.depth)
    # No text has fewer than the two tokens that mark its ends.
    pooled = pool(hidden, batch.segments, num=batch.ids.size // 2, how=how)
    for text, part in zip(batch.texts, np.asarray(pooled)[:, None]):
      made[text] = part
  return made


def _coverage(model: Model, templates, config) -> tables.Coverage:
  texts = [as_text(template, config.text) for template in templates]
  uses = collections.Counter(word for text in texts for word in text.split())
  names = [word for word, _ in uses.most_common()]
  is_known = tokens.encode(model.tokenizer, names, model.longest).is_known
  known = {word for word, known in zip(names, is_known) if known}
  cut = int(tokens.encode(model.tokenizer, texts, model.longest).is_cut.sum())
  return tables.cover({word: uses[word] for word in names}, known, cut)
