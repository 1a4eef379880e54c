"""Small encoders in Hugging Face folders, made by numpy alone."""

import json
import pathlib

import numpy as np
from safetensors import numpy as safetensors

from metalog_jax.embeddings import pretrained

FORMS = {
  'bert': pretrained.Form('bert', 99, 24, 3, 4, 40, 40),
  'bert_wide': pretrained.Form('bert', 70, 64, 1, 2, 16, 20, 2, 0, 1e-5, 'gelu_new'),
  'roberta': pretrained.Form('roberta', 300, 24, 3, 3, 40, 42, 1, 1, 1e-5),
  'roberta_relu': pretrained.Form('roberta', 60, 32, 2, 8, 48, 30, 1, 1, 1e-5, 'relu'),
}
LENGTHS = (12, 7, 2, 12)  # tokens of the texts of `batch`
WORDS = (
  *('received', 'packet', 'of', 'stored', 'replica', 'disk', 'failure', 'while'),
  *('writing', 'fetched', 'chunk', 'kept', 'copy', 'storage', 'error', 'during'),
)
TEMPLATES = (
  *('received packet of <NUM>', 'disk failure while <*> writing', '<*>'),
  *('storedReplica of replica kept', 'packet', 'error error error zzz'),
)


def weights(form: pretrained.Form, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
  """Random ones that every part of the network shows in the result."""
  rng = np.random.default_rng(seed)

  def draw(name, shape):
    if len(shape) == 2:
      return rng.normal(0, shape[1] ** -0.5, shape)
    return rng.normal(name.endswith('Norm.weight'), 0.2, shape)

  return {
    group: {name: draw(name, shape).astype(np.float32) for name, shape in names.items()}
    for group, names in pretrained.weight_shapes(form).items()
  }


def batch(form: pretrained.Form, padded: bool) -> tuple[np.ndarray, np.ndarray]:
  """ids [4, 12] and mask [4, 12] bool; all texts of full length if not `padded`."""
  rng = np.random.default_rng(1)
  ids = rng.integers(5, form.vocabulary, (len(LENGTHS), max(LENGTHS)), np.int32)
  lengths = np.array(LENGTHS if padded else [max(LENGTHS)] * len(LENGTHS))
  mask = np.arange(max(LENGTHS)) < lengths[:, None]
  return np.where(mask, ids, form.padding), mask


def flat(params) -> dict[str, np.ndarray]:
  """Parameters by the names that they have in a file."""
  prefix = lambda group: group.replace('layer_', 'encoder.layer.')
  return {
    f'{prefix(group)}.{name}': value
    for group, names in params.items()
    for name, value in names.items()
  }


def write(folder: pathlib.Path, form: pretrained.Form, tensors=None) -> pathlib.Path:
  """Writes config.json, model.safetensors and a tokenizer that knows WORDS."""
  folder.mkdir(parents=True, exist_ok=True)
  config = {
    'model_type': form.family,
    'architectures': ['BertModel' if form.family == 'bert' else 'RobertaModel'],
    'vocab_size': form.vocabulary,
    'hidden_size': form.hidden,
    'num_hidden_layers': form.layers,
    'num_attention_heads': form.heads,
    'intermediate_size': form.inner,
    'max_position_embeddings': form.positions,
    'type_vocab_size': form.kinds,
    'pad_token_id': form.padding,
    'layer_norm_eps': form.epsilon,
    'hidden_act': form.activation,
  }
  (folder / 'config.json').write_text(json.dumps(config))
  tensors = flat(weights(form)) if tensors is None else tensors
  safetensors.save_file(tensors, folder / 'model.safetensors')
  (write_word_pieces if form.family == 'bert' else write_byte_pairs)(folder)
  return folder


def write_word_pieces(folder: pathlib.Path) -> None:
  """WORDS and single letters but z, at most 99 tokens."""
  import tokenizers

  letters = 'abcdefghijklmnopqrstuvwxy'
  pieces = [*letters, *(f'##{letter}' for letter in letters)]
  special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
  vocabulary = {piece: i for i, piece in enumerate([*special, *WORDS, *pieces])}
  tokenizer = tokenizers.BertWordPieceTokenizer(vocabulary)
  tokenizer.save(str(folder / 'tokenizer.json'))


def write_byte_pairs(folder: pathlib.Path) -> None:
  """Learned from WORDS."""
  import tokenizers

  learned = tokenizers.ByteLevelBPETokenizer()
  special = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
  learned.train_from_iterator(WORDS, 300, 2, False, special)
  ends = [(token, learned.token_to_id(token)) for token in ('</s>', '<s>')]
  learned.post_processor = tokenizers.processors.RobertaProcessing(
    *ends, add_prefix_space=False
  )
  learned.save(str(folder / 'tokenizer.json'))
