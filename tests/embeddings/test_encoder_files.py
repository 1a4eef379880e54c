"""Folders of pre-trained models: names checked, damage named, tokens as published."""

import gzip
import json

import numpy as np
import pytest
from safetensors import numpy as safetensors

from metalog_jax import errors
from metalog_jax.embeddings import pretrained
from tests.embeddings import encoder_cases as cases
from tests.embeddings import test_encoder

BERT, ROBERTA = cases.FORMS['bert'], cases.FORMS['roberta']


def test_form_and_weights_come_back(tmp_path):
  for name, form in cases.FORMS.items():
    folder = cases.write(tmp_path / name, form)
    assert pretrained.read_form(folder) == form
    found = pretrained.read_weights(folder, form)
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
  found = cases.flat(pretrained.read_weights(folder, BERT))
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
  with pytest.raises(errors.UserError) as error:
    pretrained.read_weights(folder, BERT)
  message = str(error.value)
  assert message.startswith(str(folder / 'model.safetensors'))
  assert f'{bias} is missing, not (24,)' in message
  assert 'adapter.weight is (2,), not absent' in message
  assert 'encoder.layer.3.output.dense.bias is (24,), not absent' in message
  assert f'{weight}.weight is (40, 24), not (24, 40)' in message


def test_a_pickle_is_not_read(tmp_path):
  folder = cases.write(tmp_path, BERT)
  (folder / 'model.safetensors').rename(folder / 'pytorch_model.bin')
  with pytest.raises(
    errors.UserError, match='pytorch_model.bin, a pickle.*save_pretrained'
  ):
    pretrained.read_weights(folder, BERT)
  (folder / 'pytorch_model.bin').unlink()
  with pytest.raises(errors.UserError, match='has no model.safetensors'):
    pretrained.read_weights(folder, BERT)


def test_damaged_weights(tmp_path):
  path = cases.write(tmp_path, BERT) / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:5000])
  with pytest.raises(errors.UserError, match='model.safetensors: damaged'):
    pretrained.read_weights(tmp_path, BERT)


@pytest.mark.parametrize(
  'change, message',
  [
    ({'model_type': 'gpt2'}, "model_type 'gpt2' is neither bert nor roberta"),
    ({'hidden_act': 'swish'}, "hidden_act 'swish' is not one of"),
    ({'position_embedding_type': 'relative_key'}, 'position_embedding_type'),
    ({'is_decoder': True}, 'is_decoder'),
    ({'num_attention_heads': 5}, '5 heads do not divide 24'),
    ({'hidden_size': None}, "does not say 'hidden_size'"),
    ({'hidden_size': '24'}, "hidden_size '24' is not a size"),
    ({'num_hidden_layers': -1}, 'num_hidden_layers -1 is not a size'),
    ({'layer_norm_eps': 'tiny'}, "layer_norm_eps 'tiny' is not a number"),
    ({'model_type': ['bert']}, 'model_type'),
  ],
)
def test_models_of_other_kinds(change, message, tmp_path):
  path = cases.write(tmp_path, BERT) / 'config.json'
  config = json.loads(path.read_text()) | change
  path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
  with pytest.raises(errors.UserError, match=f'config.json: {message}'):
    pretrained.read_form(tmp_path)


def test_no_or_damaged_config(tmp_path):
  with pytest.raises(errors.UserError, match='config.json: No such file'):
    pretrained.read_form(tmp_path)
  for content in ('{', '[]'):
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(errors.UserError, match='config.json: damaged'):
      pretrained.read_form(tmp_path)


def test_where_models_are_looked_for(tmp_path, monkeypatch):
  assert pretrained.find(str(tmp_path)) == tmp_path
  with pytest.raises(errors.UserError, match='no such folder.*--encoder'):
    pretrained.find(str(tmp_path / 'none'))
  monkeypatch.setattr(pretrained, '_PACKAGE', 'no-such-package')
  with pytest.raises(errors.UserError, match='make encoder'):
    pretrained.find()


def test_tokenizers_that_are_absent_damaged_or_of_another_model(tmp_path):
  folder = cases.write(tmp_path / 'bert', BERT)
  with pytest.raises(errors.UserError, match='json has 71 tokens and the model 70'):
    pretrained.read_tokenizer(folder, cases.FORMS['bert_wide'])
  (folder / 'tokenizer.json').write_text('{"version": "1.0", "model"')
  with pytest.raises(errors.UserError, match='tokenizer.json: damaged'):
    pretrained.read_tokenizer(folder, BERT)
  (folder / 'tokenizer.json').unlink()
  with pytest.raises(errors.UserError, match='no tokenizer.json.*save_pretrained'):
    pretrained.read_tokenizer(folder, BERT)


def test_what_reads_models_is_not_installed(monkeypatch, tmp_path):
  monkeypatch.setattr(pretrained, '_READERS', ('safetensors', 'no_such_package'))
  with pytest.raises(errors.UserError, match='pip install no_such_package'):
    pretrained.find(str(tmp_path))
  assert not pretrained.is_installed()


def test_long_texts_are_cut_and_unknown_ones_known(tmp_path):
  tokenizer = pretrained.read_tokenizer(cases.write(tmp_path, BERT), BERT)
  found = pretrained.tokenize(tokenizer, ['packet ' * 9, 'packet of', 'zzz', ''], 6)
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
  lines = [*raw_lines(data), *ODD]
  theirs = test_encoder.oracle().tokenizer(folder)(
    lines, truncation=True, max_length=128
  )
  tokens = pretrained.tokenize(pretrained.read_tokenizer(folder, form), lines, 128)
  assert [ids.tolist() for ids in tokens.ids] == theirs['input_ids']
  assert sum(map(len, tokens.ids)) > 20 * len(lines) - 1000


def test_the_files_are_the_key(tmp_path):
  folder = cases.write(tmp_path, BERT)
  before = pretrained.fingerprint(folder)
  assert before == pretrained.fingerprint(folder)
  tensors = cases.flat(cases.weights(BERT, seed=1))
  safetensors.save_file(tensors, folder / 'model.safetensors')
  assert before != pretrained.fingerprint(folder)
