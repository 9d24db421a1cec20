"""The dimension key of the project and the tensor types built from it.

One letter a dimension, the same in these aliases and in every einsum string:

    b batch            t token           q query position    k key position
    d hidden width     h head            e width of a head   f feed-forward width
    v vocabulary       l layer           c class

The release's comments write B, F, T, N, H for b, q, k, h, e. The aliases are executed: the tests run the tensor
rooms under jaxtyping and beartype with pairwise different sizes.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf
from jaxtyping import Float
from jaxtyping import Int

TokenIds = Int[tf.Tensor, "b t"]
TokenMask = Int[tf.Tensor, "b t"]
Labels = Int[tf.Tensor, "b"]

Embeddings = Float[tf.Tensor, "b t d"]
Hidden = Float[tf.Tensor, "b t d"]
AttentionProbs = Float[tf.Tensor, "b h q k"]
Pooled = Float[tf.Tensor, "b d"]
Logits = Float[tf.Tensor, "b c"]
PerExample = Float[tf.Tensor, "b"]
TokenScores = Float[tf.Tensor, "b t"]
PerHead = Float[tf.Tensor, "b l h"]
Scalar = Float[tf.Tensor, ""]
Step = Int[tf.Tensor, ""]

Variables = Mapping[str, tf.Tensor]
"""The release's variable name -> its value; who made the tensors does not concern the model."""

Dropout = Callable[[tf.Tensor, float, str], tf.Tensor]
"""(values, rate, name of the place in the network) -> values with a share `rate` dropped."""
