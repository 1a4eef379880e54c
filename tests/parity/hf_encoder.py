"""What `transformers` makes of a folder: the oracle of the encoder."""

import numpy as np
import torch
import transformers


def hidden_states(folder, ids, mask) -> list[np.ndarray]:
  """After the embeddings and after every layer, each [B, L, D]."""
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  model = transformers.AutoModel.from_pretrained(
    folder, add_pooling_layer=False, attn_implementation='eager'
  ).eval()
  with torch.inference_mode():
    made = model(
      torch.tensor(ids).long(),
      attention_mask=torch.tensor(mask).long(),
      output_hidden_states=True,
    )
  return [states.numpy() for states in made.hidden_states]


def tokenizer(folder):
  """Its tokenizer for the folder."""
  return transformers.AutoTokenizer.from_pretrained(folder)
