"""Tiny models that the tests of `bert` share."""

from typing import NamedTuple

import numpy as np
import pytest

from bert import config as config_lib
from bert import hugging_face
from tests import reference_bert


class Golden(NamedTuple):
    """A tiny classifier, its inputs, and what Hugging Face transformers computed for them."""

    config: config_lib.BertConfig
    variables: dict[str, np.ndarray]
    input_ids: np.ndarray
    input_mask: np.ndarray
    segment_ids: np.ndarray
    outputs: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def golden() -> Golden:
    arrays = np.load(reference_bert.GOLDENS / "transformers_tiny_bert.npz")

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)
        }

    variables = hugging_face.from_tensors(part("weights/"))
    config = config_lib.BertConfig(
        40,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=16,
        type_vocab_size=2,
    )
    inputs = part("inputs/")
    return Golden(
        config,
        variables,
        inputs["input_ids"].astype(np.int32),
        inputs["attention_mask"].astype(np.int32),
        inputs["token_type_ids"].astype(np.int32),
        {name: arrays[name] for name in arrays if name.startswith("gelu")},
    )
