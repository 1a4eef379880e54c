"""Text -> the ids of sub-words, by the tokenizer that lies beside a model's weights."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalog_jax import errors
from metalog_jax.embeddings import pretrained

# The files that decide what a text becomes.
FILES = (
  *('tokenizer.json', 'tokenizer_config.json'),
  *('vocab.txt', 'vocab.json', 'merges.txt'),
)
_BERT = {
  'pad': '[PAD]',
  'unk': '[UNK]',
  'cls': '[CLS]',
  'sep': '[SEP]',
  'mask': '[MASK]',
}
_ROBERTA = {
  'cls': '<s>',
  'pad': '<pad>',
  'sep': '</s>',
  'unk': '<unk>',
  'mask': '<mask>',
}


class Tokens(NamedTuple):
  """What texts became."""

  ids: list[np.ndarray]  # of each text, int32, with what marks begin and end
  is_cut: np.ndarray  # [n] bool: the text had more tokens than it may
  is_known: np.ndarray  # [n] bool: the vocabulary has all of it


def load(folder: pathlib.Path, form: pretrained.Form):
  """The `tokenizers.Tokenizer` of a model.

  Args:
    folder: with tokenizer.json; or vocab.txt (BERT); or vocab.json and merges.txt
      (RoBERTa).
    form: of the model in that folder.

  Raises:
    UserError: no such files, damaged, or of another model.
  """
  tokenizer = _read(folder, form)
  tokenizer.no_padding()
  size = tokenizer.get_vocab_size()
  if size > form.vocabulary:
    raise errors.UserError(
      f'{folder}: the tokenizer has {size} tokens and the model {form.vocabulary}: '
      'they are not of one model'
    )
  return tokenizer


def encode(tokenizer, texts: Sequence[str], longest: int) -> Tokens:
  """Tokenizes texts; of one with more than `longest` tokens the end is cut off."""
  tokenizer.enable_truncation(longest)
  found = tokenizer.encode_batch_fast(list(texts))
  unknown = {tokenizer.token_to_id(family['unk']) for family in (_BERT, _ROBERTA)}
  return Tokens(
    [np.array(one.ids, np.int32) for one in found],
    np.array([bool(one.overflowing) for one in found], bool),
    np.array([unknown.isdisjoint(one.ids) for one in found], bool),
  )


def _read(folder, form):
  import tokenizers

  whole = folder / 'tokenizer.json'
  make = {'bert': _word_pieces, 'roberta': _byte_pairs}[form.family]
  try:
    return (
      tokenizers.Tokenizer.from_file(str(whole)) if whole.is_file() else make(folder)
    )
  except ValueError:
    raise
  except Exception as error:  # what `tokenizers` raises has no class of its own
    raise errors.UserError(f'{folder}: the tokenizer is damaged ({error})') from None


def _word_pieces(folder):
  """BERT's, from vocab.txt and the few settings that tokenizer_config.json may have."""
  from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

  _need(folder, 'vocab.txt')
  path = folder / 'tokenizer_config.json'
  given = pretrained.read_json(path) if path.is_file() else {}
  model = models.WordPiece.from_file(str(folder / 'vocab.txt'), unk_token=_BERT['unk'])
  tokenizer = Tokenizer(model)
  tokenizer.add_special_tokens([t for t in _BERT.values() if tokenizer.token_to_id(t)])
  tokenizer.normalizer = normalizers.BertNormalizer(
    handle_chinese_chars=given.get('tokenize_chinese_chars', True),
    strip_accents=given.get('strip_accents'),
    lowercase=given.get('do_lower_case', True),
  )
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.post_processor = processors.BertProcessing(*_ends(tokenizer, _BERT))
  return tokenizer


def _byte_pairs(folder):
  """RoBERTa's, from vocab.json and merges.txt."""
  from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

  _need(folder, 'vocab.json', 'merges.txt')
  files = [str(folder / name) for name in ('vocab.json', 'merges.txt')]
  tokenizer = Tokenizer(models.BPE.from_file(*files))
  tokenizer.add_special_tokens(
    [AddedToken(t, lstrip=t == _ROBERTA['mask']) for t in _ROBERTA.values()]
  )
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  ends = _ends(tokenizer, _ROBERTA)
  tokenizer.post_processor = processors.RobertaProcessing(
    *ends, trim_offsets=True, add_prefix_space=False
  )
  return tokenizer


def _need(folder, *names):
  if absent := [name for name in names if not (folder / name).is_file()]:
    raise errors.UserError(
      f'{folder} has neither tokenizer.json nor {" and ".join(absent)}'
    )


def _ends(tokenizer, family):
  """What stands after and before every text, as (token, id)."""
  pairs = [(family[n], tokenizer.token_to_id(family[n])) for n in ('sep', 'cls')]
  for token, number in pairs:
    if number is None:
      raise errors.UserError(f'the vocabulary has no {token}')
  return pairs
