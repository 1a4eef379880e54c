"""Folders of pre-trained models: names checked, damage named, tokens as published."""

import csv
import gzip
import json
import shutil

import numpy as np
import pytest
from safetensors import numpy as safetensors

from metalog_jax.embeddings import pretrained, tokens, weight_files
from tests.embeddings import encoder_cases as cases
from tests.embeddings import test_encoder

BERT, ROBERTA = cases.FORMS['bert'], cases.FORMS['roberta']


def test_form_and_weights_come_back(tmp_path):
  for name, form in cases.FORMS.items():
    folder = cases.write(tmp_path / name, form)
    assert pretrained.read_form(folder) == form
    found = weight_files.read(folder, form)
    for group, names in cases.weights(form).items():
      assert list(found[group]) == list(names)
      for key, value in names.items():
        np.testing.assert_array_equal(found[group][key], value)
  assert (BERT.longest, ROBERTA.longest) == (40, 40)  # RoBERTa's 42 less 2


def test_prefixes_heads_and_old_spellings(tmp_path):
  tensors = cases.flat(cases.weights(BERT))
  old = {
    'bert.'
    + n.replace('Norm.weight', 'Norm.gamma').replace('Norm.bias', 'Norm.beta'): x
    for n, x in tensors.items()
  }
  beside = (
    'bert.pooler.dense.weight',
    'cls.predictions.bias',
    'lm_head.decoder.weight',
  )
  old |= {name: np.zeros(3, np.float32) for name in beside}
  old['bert.embeddings.position_ids'] = np.arange(40)[None]
  folder = cases.write(
    tmp_path, BERT, {n: x.astype(np.float16) for n, x in old.items()}
  )
  found = cases.flat(weight_files.read(folder, BERT))
  assert set(found) == set(tensors)
  for name, x in tensors.items():
    np.testing.assert_array_equal(found[name], x.astype(np.float16))
    assert found[name].dtype == np.float32


def test_missing_surplus_and_misshapen_tensors_are_listed(tmp_path):
  tensors = cases.flat(cases.weights(BERT))
  bias, weight = 'encoder.layer.1.output.dense.bias', 'encoder.layer.2.output.dense'
  tensors['encoder.layer.3.output.dense.bias'] = tensors.pop(bias)
  tensors['adapter.weight'] = np.zeros(2, np.float32)
  tensors[f'{weight}.weight'] = tensors[f'{weight}.weight'].T.copy()
  folder = cases.write(tmp_path, BERT, tensors)
  with pytest.raises(ValueError) as error:
    weight_files.read(folder, BERT)
  said = str(error.value)
  assert said.startswith(str(folder / 'model.safetensors'))
  assert f'missing: {bias};' in said
  for name in ('adapter.weight', 'encoder.layer.3.output.dense.bias'):
    assert name in said[said.index('surplus') : said.index('of another shape')]
  assert f'{weight}.weight (40, 24), not (24, 40)' in said


def test_a_pickle_is_not_read(tmp_path):
  folder = cases.write(tmp_path, BERT)
  (folder / 'model.safetensors').rename(folder / 'pytorch_model.bin')
  with pytest.raises(ValueError, match='pytorch_model.bin, a pickle.*save_pretrained'):
    weight_files.read(folder, BERT)
  (folder / 'pytorch_model.bin').unlink()
  with pytest.raises(ValueError, match='has no model.safetensors'):
    weight_files.read(folder, BERT)


def test_damaged_weights(tmp_path):
  path = cases.write(tmp_path, BERT) / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:5000])
  with pytest.raises(ValueError, match='model.safetensors: damaged'):
    weight_files.read(tmp_path, BERT)


@pytest.mark.parametrize(
  'change,said',
  [
    ({'model_type': 'gpt2'}, "model_type 'gpt2' is neither bert nor roberta"),
    ({'hidden_act': 'swish'}, "hidden_act 'swish' is not one of"),
    ({'position_embedding_type': 'relative_key'}, 'position_embedding_type'),
    ({'is_decoder': True}, 'is_decoder'),
    ({'num_attention_heads': 5}, '5 heads do not divide 24'),
    ({'hidden_size': None}, "does not say 'hidden_size'"),
  ],
)
def test_models_of_other_kinds(change, said, tmp_path):
  path = cases.write(tmp_path, BERT) / 'config.json'
  config = json.loads(path.read_text()) | change
  path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
  with pytest.raises(ValueError, match=f'config.json: {said}'):
    pretrained.read_form(tmp_path)


def test_no_or_damaged_config(tmp_path):
  with pytest.raises(ValueError, match='config.json: No such file'):
    pretrained.read_form(tmp_path)
  for content in ('{', '[]'):
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(ValueError, match='config.json: damaged'):
      pretrained.read_form(tmp_path)


def test_where_models_are_looked_for(tmp_path, monkeypatch):
  assert pretrained.find(str(tmp_path)) == tmp_path
  with pytest.raises(ValueError, match='no such folder.*--encoder'):
    pretrained.find(str(tmp_path / 'none'))
  monkeypatch.setattr(pretrained, '_PACKAGE', 'no-such-package')
  with pytest.raises(ValueError, match='make encoder'):
    pretrained.find()


def test_tokenizers_without_files_or_of_another_model(tmp_path):
  folder = cases.write(tmp_path / 'bert', BERT)
  with pytest.raises(ValueError, match='tokenizer has 71 tokens and the model 70'):
    tokens.load(folder, cases.FORMS['bert_wide'])
  (folder / 'vocab.txt').unlink()
  with pytest.raises(ValueError, match='neither tokenizer.json nor vocab.txt'):
    tokens.load(folder, BERT)
  (folder / 'tokenizer.json').write_text('{"version": "1.0", "model"')
  with pytest.raises(ValueError, match='tokenizer is damaged'):
    tokens.load(folder, BERT)
  (folder / 'tokenizer.json').unlink()
  (folder / 'vocab.txt').write_text('[PAD]\n[UNK]\npacket\n')
  with pytest.raises(ValueError, match=r'vocabulary has no \[SEP\]'):
    tokens.load(folder, BERT)
  folder = cases.write(tmp_path / 'roberta', ROBERTA)
  (folder / 'merges.txt').write_text('#version: 0.2\nx y\nq z\n')
  with pytest.raises(ValueError, match='tokenizer is damaged'):
    tokens.load(folder, ROBERTA)
  (folder / 'merges.txt').unlink()
  with pytest.raises(ValueError, match='neither tokenizer.json nor merges.txt'):
    tokens.load(folder, ROBERTA)


def test_long_texts_are_cut_and_unknown_ones_known(tmp_path):
  tokenizer = tokens.load(cases.write(tmp_path, BERT), BERT)
  found = tokens.encode(tokenizer, ['packet ' * 9, 'packet of', 'zzz', ''], 6)
  assert [len(ids) for ids in found.ids] == [6, 4, 3, 2]
  assert found.is_cut.tolist() == [True, False, False, False]
  assert found.is_known.tolist() == [True, True, False, True]
  ends = [[ids[0], ids[-1]] for ids in found.ids]
  assert ends == 4 * [[tokenizer.token_to_id('[CLS]'), tokenizer.token_to_id('[SEP]')]]


ODD = (
  '',
  ' two  spaces <unk> and <s></s> ',
  'Ünïcode 日志 \u200b\ttab',
  '[MASK] [UNK] [SEP]',
  "it's 10.0.0.1:50010 -> _temporary/part-00081.",
)


def raw_lines(data, num=10_000):
  """Real lines, half of each system."""
  lines = []
  for name in ('hdfs/HDFS_2pct.log.gz', 'bgl/BGL_first10000.log.gz'):
    with gzip.open(data / name, 'rt', errors='replace') as file:
      lines += [next(file).rstrip('\n') for _ in range(num // 2)]
  return lines


@pytest.mark.data
def test_real_lines_become_the_same_tokens(data):
  form, folder, _ = test_encoder.real()
  compare(folder, form, [*raw_lines(data), *ODD])


@pytest.mark.data
@pytest.mark.parametrize('family', ['bert', 'roberta'])
def test_tokenizers_of_plain_vocabularies(family, data, tmp_path):
  """vocab.txt, and byte pairs learned from templates, as old folders have them."""
  form = pretrained.Form(family, 2000, 8, 1, 1, 8, 512, 1, 1)
  folder = cases.write(tmp_path, form)
  if family == 'roberta':
    with (data / 'bgl/templates.csv').open() as file:
      cases.write_byte_pairs(folder, [row[1] for row in csv.reader(file)], 2000)
  else:
    shutil.copyfile(test_encoder.real()[1] / 'vocab.txt', folder / 'vocab.txt')
    form = pretrained.Form(family, 30522, 8, 1, 1, 8, 512)
  compare(folder, form, [*raw_lines(data), *ODD])


def compare(folder, form, lines):
  theirs = test_encoder.oracle().tokenizer(folder)(
    lines, truncation=True, max_length=128
  )
  ours = tokens.encode(tokens.load(folder, form), lines, 128)
  assert [ids.tolist() for ids in ours.ids] == theirs['input_ids']
  assert sum(map(len, ours.ids)) > 20 * len(lines) - 1000


def test_the_files_are_the_key(tmp_path):
  folder = cases.write(tmp_path, BERT)
  names = ('config.json', 'model.safetensors', 'absent')
  before = pretrained.fingerprint(folder, names)
  assert before == pretrained.fingerprint(folder, names)
  tensors = cases.flat(cases.weights(BERT, seed=1))
  safetensors.save_file(tensors, folder / 'model.safetensors')
  assert before != pretrained.fingerprint(folder, names)
