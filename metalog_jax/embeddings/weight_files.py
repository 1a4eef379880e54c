"""The weights of BERT and RoBERTa: names, shapes, and how they are read from files."""

import pathlib

import numpy as np

from metalog_jax import errors
from metalog_jax.embeddings import pretrained

# What published files hold beside the encoder.
_PREFIXES = ('bert.', 'roberta.')
_IGNORED = (
  *('pooler.', 'lm_head.', 'cls.', 'classifier.', 'qa_outputs.'),  # heads
  *('embeddings.position_ids', 'embeddings.token_type_ids'),  # counters of old versions
)
# LayerNorm's parameters in the oldest files.
_RENAMED = {'gamma': 'weight', 'beta': 'bias'}


def groups(form: pretrained.Form) -> dict[str, dict[str, tuple[int, ...]]]:
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


def read(
  folder: pathlib.Path, form: pretrained.Form
) -> dict[str, dict[str, np.ndarray]]:
  """Reads model.safetensors: `groups(form)` with arrays, float32.

  Raises:
    UserError: no such file, damaged, or a tensor is missing, surplus or of another
      shape than config.json says; lists them.
  """
  path = find(folder)
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
    raise errors.UserError(f'{path}: tensors are ' + '; '.join(complaints))
  return {
    group: {n: found[prefix(group) + n].astype(np.float32) for n in names}
    for group, names in groups(form).items()
  }


def find(folder: pathlib.Path) -> pathlib.Path:
  """model.safetensors of `folder`.

  Raises:
    UserError: there is none; where there is a pickle in its stead, says so.
  """
  path = folder / pretrained.WEIGHTS
  if path.is_file():
    return path
  if pickles := sorted(p.name for p in folder.glob('*.bin')):
    raise errors.UserError(
      f'{folder} has its weights as {pickles[0]}, a pickle, which can run any code '
      f'when it is read: take the {pretrained.WEIGHTS} of the model where it was '
      'published or, if you trust the file, have transformers convert it: '
      'AutoModel.from_pretrained(folder).save_pretrained(folder)'
    )
  raise errors.UserError(
    f'{folder} has no {pretrained.WEIGHTS}: no pre-trained model (--encoder)'
  )


def _named(path):
  """Tensor by name, without prefixes, old spellings and what is not the encoder's."""
  import safetensors
  from safetensors import numpy as reader

  try:
    tensors = reader.load_file(path)
  except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
    raise errors.UserError(f'{path}: damaged ({error})') from None
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
