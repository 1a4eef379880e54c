"""Event vectors from a pre-trained encoder: each distinct text is encoded once."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from metalog_jax import errors, flags, types
from metalog_jax.embeddings import event_tables, pretrained, rows, vector_cache, words

if TYPE_CHECKING:
  import tokenizers

_CPU_CELLS, _CELLS = 1 << 9, 1 << 14  # of a batch: what caches and accelerators like
_VERSION = 1  # of what a text becomes: a new one leaves the old cache alone


@dataclasses.dataclass(frozen=True)
class Encoder:
  """How templates become vectors; pooling and length are our choice where not cited.

  The siblings of LogMeta read at most 128 sub-words (LogRoBERTa, SemiRALD). How a
  template becomes text is ours: its words, see `as_text`.
  """

  path: str = flags.field(
    pretrained.DEFAULT, 'folder of a BERT or RoBERTa in Hugging Face form'
  )
  weights: Literal['trained', 'random'] = flags.field(
    'trained', 'random: the same network without its training'
  )
  pooling: pretrained.Pooling = flags.field('mean', 'over the tokens of a text')
  max_tokens: int = flags.field(128, 'sub-words of a text that are read')
  dtype: Literal['float32', 'bfloat16'] = flags.field('float32', 'to compute in')

  def __post_init__(self):
    errors.check_choices(self)
    if self.max_tokens < 3:
      raise errors.UserError(f'max_tokens={self.max_tokens} leaves no room for a word')


class Model(NamedTuple):
  """An encoder that is ready but for its weights, which may not be needed."""

  folder: pathlib.Path
  form: pretrained.Form
  tokenizer: 'tokenizers.Tokenizer'
  longest: int  # tokens that are read of a text


def load(config: Encoder) -> Model:
  """Finds a model and reads all but its weights.

  Raises:
    UserError: there is no such model, or it is damaged.
  """
  folder = pretrained.find(config.path)
  form = pretrained.read_form(folder)
  longest = min(config.max_tokens, form.longest)
  return Model(folder, form, pretrained.read_tokenizer(folder, form), longest)


def embed(
  systems: Sequence[Sequence[str]],
  config: Encoder = Encoder(),
  fit: Sequence[np.ndarray | None] | None = None,
) -> list[event_tables.Table]:
  """Embeds the templates of systems; see `gcse.embed`, whose interface this has.

  Nothing is fitted but the unknown event, the mean of the templates in `fit`.
  """
  model = load(config)
  distinct = list(dict.fromkeys(text for texts in systems for text in texts[1:]))
  vectors = dict(zip(distinct, _encode(model, distinct, config)))
  masks = [
    event_tables.fitted_rows(texts, mask)
    for texts, mask in zip(systems, fit or [None] * len(systems), strict=True)
  ]
  fitted_events = int(sum(mask.sum() for mask in masks))
  return [
    _table(model, texts, config, vectors, mask, fitted_events)
    for texts, mask in zip(systems, masks)
  ]


def encode(templates: Sequence[str], config: Encoder = Encoder()) -> np.ndarray:
  """The vectors of templates, [n, D] float32."""
  return _encode(load(config), templates, config)


def as_text(template: str) -> str:
  """What the encoder reads of a template: its words, as for word vectors.

  Wildcards and symbols are left out, camel case is split, a mask's name is a word.

  >>> as_text('PacketResponder <*> for block <BLK> terminating')
  'packet responder for block blk terminating'
  """
  return ' '.join(words.words(template))


def params_of(model: Model, config: Encoder) -> Mapping:
  """The parameters for `encoder.apply`, in the type to compute in."""
  # jax: not for --help, nor where all texts are in the cache
  import jax
  import jax.numpy as jnp

  from metalog_jax.embeddings import encoder

  if config.weights == 'random':
    params = encoder.random_params(jax.random.key(0), model.form)
  else:
    params = pretrained.read_weights(model.folder, model.form)
  return jax.tree.map(lambda x: jnp.asarray(x, config.dtype), params)


def compute(
  model: Model, params: Mapping, how: pretrained.Pooling, texts: Sequence[str]
) -> np.ndarray:
  """Encodes texts, without a cache: [n, D] float32.

  Args:
    model: as `load` gives it.
    params: as `params_of` gives them.
    how: tokens are pooled.
    texts: distinct ones, as `as_text` makes them of templates.
  """
  # jax: not for --help, nor where all texts are in the cache
  import jax

  from metalog_jax.embeddings import encoder

  cells = _CPU_CELLS if jax.default_backend() == 'cpu' else _CELLS
  pool = jax.jit(encoder.pool, static_argnames=('num', 'how'))
  ids = pretrained.tokenize(model.tokenizer, texts, model.longest).ids
  vectors = np.zeros((len(texts), model.form.hidden), np.float32)
  for batch in rows.batches(ids, cells, model.form.padding):
    hidden = encoder.apply(params, batch.ids, batch.segments, model.form)
    # No text has fewer than the two tokens that mark its ends.
    pooled = pool(hidden, batch.segments, num=batch.ids.size // 2, how=how)
    vectors[batch.texts] = np.asarray(pooled)[: len(batch.texts)]
  return vectors


def _encode(model: Model, templates: Sequence[str], config: Encoder) -> np.ndarray:
  """The vectors of templates [n, D], from the cache where it has them."""
  texts = [as_text(template) for template in templates]
  cache = vector_cache.Cache(_key(model, config))
  vectors = cache.get(texts)
  if new := [text for text in dict.fromkeys(texts) if text not in vectors]:
    params = params_of(model, config)
    computed = dict(zip(new, compute(model, params, config.pooling, new)))
    cache.put(computed)
    vectors |= computed
  shape = len(texts), model.form.hidden
  return np.array([vectors[text] for text in texts], np.float32).reshape(shape)


def _key(model: Model, config: Encoder) -> str:
  """A hash of all but the text that a vector depends on."""
  content = [
    *(_VERSION, pretrained.fingerprint(model.folder), config.weights),
    *(config.pooling, model.form.layers, model.longest, config.dtype),
  ]
  return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _table(
  model: Model,
  templates: Sequence[str],
  config: Encoder,
  vectors: Mapping[str, np.ndarray],
  mask: np.ndarray,
  fitted_events: int,
) -> event_tables.Table:
  """The table of one system, from the vectors of all templates."""
  table = np.zeros((len(templates), model.form.hidden), np.float32)
  for event, text in enumerate(templates):
    if event != types.UNKNOWN:
      table[event] = vectors[text]
  texts = [as_text(template) for template in templates[1:]]
  used = [word for text in texts for word in text.split()]
  distinct = list(dict.fromkeys(used))
  is_known = pretrained.tokenize(model.tokenizer, distinct, model.longest).is_known
  known = {word for word, is_one in zip(distinct, is_known) if is_one}
  cut = int(pretrained.tokenize(model.tokenizer, texts, model.longest).is_cut.sum())
  return event_tables.make_table(table, mask, used, known, fitted_events, cut)
