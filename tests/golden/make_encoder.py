"""Writes what `transformers` gives for encoders: python -m tests.golden.make_encoder.

Run it again only when a case changes; the live comparison must pass as well. The real
weights are those of `make encoder`, and of them only what they make of a few texts is
kept.
"""

import pathlib
import tempfile

import numpy as np

from metalog_jax.embeddings import pretrained
from tests.embeddings import encoder_cases, test_encoder
from tests.parity import hf_encoder


def main() -> None:
  found = {}
  with tempfile.TemporaryDirectory() as root:
    for name, form in encoder_cases.FORMS.items():
      folder = encoder_cases.write(pathlib.Path(root) / name, form)
      for padded in (False, True):
        arguments = encoder_cases.batch(form, padded)
        found[f'{name} {padded}'] = hf_encoder.hidden_states(folder, *arguments)[-1]
  folder = pretrained.find()
  form = pretrained.read_form(folder)
  tokenizer = pretrained.read_tokenizer(folder, form)
  ids, mask = test_encoder.tokenized(tokenizer, test_encoder.TEXTS)
  found['real'] = hf_encoder.hidden_states(folder, ids, mask)[-1][mask][:, ::5]
  np.savez_compressed(pathlib.Path(__file__).with_name('encoder.npz'), **found)


if __name__ == '__main__':
  main()
