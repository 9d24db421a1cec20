"""What a process of a cluster that is not the chief does in a training: its share of every batch, and nothing else.

It reads the output folder, which all processes must see, and writes nothing there. Leaves to others: all that the chief
does (`training`).
"""

import pathlib
import shutil
from collections.abc import Callable

import tensorflow as tf

from bert import checkpoints
from bert import features as features_lib
from bert import files
from bert import hooks as hooks_lib
from bert import model_folder
from bert import options as options_lib
from bert import tokenization
from bert import training


def assist(
    parts: model_folder.Parts,
    tokenizer: tokenization.FullTokenizer,
    examples: training.Examples,
    dev_examples: training.Examples,
    options: options_lib.RunConfig,
    report: Callable[[int, float], object],
) -> training.Plan:
    """Train beside the chief as far as the plan says, from the checkpoint that the chief goes on from.

    Args:
      dev_examples: not read; the arguments are those of `training.train`.

    Raises:
      ConnectionError: another process of the cluster ended.
    """
    del dev_examples
    folder = pathlib.Path(str(options.output_dir)).resolve()
    now = training.plan(options, len(examples))
    if now.is_finished:
        return now
    factors = training.class_weights(options.class_weights, parts.labels, examples)
    settings = training.training_of(options, now.steps, factors)
    hook = hooks_lib.StepHook(lambda step, loss, rate: report(step, loss), now.done)
    with files.temporary_folder("bert-worker-") as own:
        features_lib.file_based_convert_examples_to_features(
            examples,
            parts.labels,
            parts.record.max_seq_length,
            tokenizer,
            own / "train.tf_record",
            parts.record.truncation,
        )
        if newest := checkpoints.newest(folder):
            name = pathlib.PurePath(newest).name
            for file in folder.glob(f"{name}.*"):
                shutil.copy(file, own)
            tf.compat.v1.train.update_checkpoint_state(str(own), name)
        training.train_to(own, now.steps, now.done, parts, options, settings, [hook])
    return now._replace(done=now.steps)
