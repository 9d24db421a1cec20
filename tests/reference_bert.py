"""A second BERT in NumPy, float64 throughout, written from the paper's formulas and sharing no code with `bert`.

It reads the release's variable names. The tests compare `bert.modeling` and `bert.classifier` with it.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

GOLDENS = pathlib.Path(__file__).parent / "goldens"
_erf = np.vectorize(math.erf)


class Outputs(NamedTuple):
    embedding_output: np.ndarray
    hidden_states: list[np.ndarray]
    attention_probs: list[np.ndarray]
    contexts: list[np.ndarray]
    pooled: np.ndarray
    logits: np.ndarray


def gelu_erf(x):
    return x * 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def normalise(x, gamma, beta, epsilon=1e-12):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def forward(variables, heads, input_ids, input_mask, segment_ids, gelu=gelu_erf):
    v = {name: np.asarray(value, np.float64) for name, value in variables.items()}

    def dense(name, x):
        return x @ v[f"{name}/kernel"] + v[f"{name}/bias"]

    def norm(name, x):
        return normalise(x, v[f"{name}/LayerNorm/gamma"], v[f"{name}/LayerNorm/beta"])

    length = input_ids.shape[1]
    x = v["bert/embeddings/word_embeddings"][input_ids]
    x = x + v["bert/embeddings/token_type_embeddings"][segment_ids]
    x = x + v["bert/embeddings/position_embeddings"][:length]
    x = norm("bert/embeddings", x)
    embedding_output, hidden_states, attention_probs, contexts = x, [], [], []
    layers = sum(name.endswith("intermediate/dense/bias") for name in v)
    for index in range(layers):
        layer = f"bert/encoder/layer_{index}"
        q, k, value = (
            np.stack(np.split(dense(f"{layer}/attention/self/{name}", x), heads, axis=-1), axis=1)
            for name in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores + np.where(input_mask, 0.0, -10000.0)[:, None, None, :]
        probs = softmax(scores)
        context = np.concatenate(list((probs @ value).swapaxes(0, 1)), axis=-1)
        x = norm(f"{layer}/attention/output", dense(f"{layer}/attention/output/dense", context) + x)
        wide = gelu(dense(f"{layer}/intermediate/dense", x))
        x = norm(f"{layer}/output", dense(f"{layer}/output/dense", wide) + x)
        hidden_states.append(x)
        attention_probs.append(probs)
        contexts.append(context)
    pooled = np.tanh(dense("bert/pooler/dense", x[:, 0]))
    logits = pooled @ v["output_weights"].T + v["output_bias"]
    return Outputs(embedding_output, hidden_states, attention_probs, contexts, pooled, logits)
