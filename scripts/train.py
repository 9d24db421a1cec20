"""Fine-tune a BERT classifier as a YAML file says, and evaluate it.

    python scripts/train.py --config scripts/config.yaml
    python scripts/train.py --config scripts/config.yaml --record_attention "a fine film" --every 10

The same command goes on where a training was stopped. <output_dir>/visualizations/ gets training_curves.png (loss,
accuracy and F1 of what was read: training, validation, test), and confusion_dev.png and confusion_test.png (counts and
shares) of the evaluations. With --record_attention, visualizations/training/ gets what the tokens of that text attend
to before the first step and after every so many: step_<n>.npz (`attention` [layer, head, query, key] of every layer;
`mean_over_heads` of `layers`; `tokens`) and a picture of each of `layers`, the config's attention_layers. The training
is the same, bit for bit. <output_dir>/resolved_config.yaml says every key's value. Relative paths count from the
current folder.
"""

import argparse
import logging
import os
import pathlib
import sys

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import classifier
from bert import datasets
from bert import failures
from bert import features as features_lib
from bert import hooks
from bert import model_folder
from bert import project as project_lib
from bert import project_config
from bert import training_log
from explain import gallery
from explain import methods

_log = logging.getLogger("train")


class AttentionRecorder:
    """Writes what the tokens of one text attend to, under whatever weights it is given."""

    def __init__(self, project: project_lib.Project, text: str) -> None:
        """Build a graph of its own, so that the training's stays as it is."""
        parts = project.parts
        self._layers = project_config.resolve_layers(
            project.config.attention_layers, parts.config.num_hidden_layers
        )
        self._folder = project.folder / "visualizations" / "training"
        encoding = parts.encode(project.tokenizer, datasets.InputExample("text", text))
        self._tokens = [token.text for token in encoding.tokens]
        shapes = classifier.variable_shapes(parts.config, len(parts.labels), parts.record.pooling)
        self.names = tuple(shapes)
        with tf.Graph().as_default() as graph:
            self._variables = {
                name: tf.compat.v1.placeholder(tf.float32, shape) for name, shape in shapes.items()
            }
            batch = features_lib.Features(
                tf.constant([encoding.input_ids]),
                tf.ones([1, len(self._tokens)], tf.int32),
                tf.constant([encoding.segment_ids]),
            )
            outputs = classifier.forward(
                self._variables, parts.config, batch, pooling=parts.record.pooling
            )
            self._attention = tf.concat(outputs.attention_probs, axis=0)
        settings = tf.compat.v1.ConfigProto()
        settings.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=graph, config=settings)

    def __call__(self, step: int, weights: hooks.Weights) -> None:
        """Write the attention of one step."""
        feed = {self._variables[name]: weights[name] for name in self.names}
        attention: npt.NDArray[np.float32] = self._session.run(self._attention, feed)
        gallery.save_attention(
            attention, self._tokens, self._layers, self._folder / f"step_{step}", f"step {step}"
        )


def train(project: project_lib.Project, text: str | None, every: int) -> None:
    """Fine-tune, unless that is done already."""
    plan = project.plan()
    _log.info("training on %d examples, dev %d", len(project.train), len(project.dev))
    if plan.is_finished:
        told = "not needed, of %d steps: %s %s; give another output_dir to train anew"
        _log.info(told, plan.steps, project.folder, plan.state)
        return
    if plan.done:
        _log.info("going on from step %d of %d", plan.done, plan.steps)
    looks = []
    if text is not None:
        recorder = AttentionRecorder(project, text)
        looks = [hooks.WeightsHook(recorder.names, every, recorder)]
    with tqdm.tqdm(desc="fine-tuning", total=plan.steps, initial=plan.done, disable=None) as bar:

        def report(step: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            if bar.disable and step % max(1, plan.steps // 20) == 0:
                _log.info("step %d of %d, loss %.4f", step, plan.steps, loss)

        project_lib.run(project, report, looks)


def main(options: argparse.Namespace) -> None:
    """Train, evaluate, and print where the model is and how often it is right."""
    config = project_config.read(
        options.config,
        count_layers=lambda model: model_folder.architecture(model).num_hidden_layers,
        methods=methods.METHODS,
        reads_data=True,
    )
    project = project_lib.prepare(config)
    train(project, options.record_attention, options.every)
    results = {}
    if project.dev:
        results["dev"] = project_lib.evaluate(project, project.dev)
    if config.test_path is not None:
        examples = project.processor.get_test_examples("")
        results["test"] = project_lib.evaluate(project, examples, "test_eval")
    gallery.save_training(
        training_log.curves(project.folder),
        {name: result.confusion for name, result in results.items()},
        project.parts.labels,
        project.folder / "visualizations",
    )
    print(f"model: {project.folder}")
    for name, result in results.items():
        print(f"{name} accuracy: {result.accuracy:.4f} ({result.right} of {result.count})")


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"keys of the config:\n{project_config.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=pathlib.Path, required=True)
    parser.add_argument("--record_attention", metavar="TEXT", help="draw what its tokens attend to")
    parser.add_argument("--every", type=int, default=100, help="steps between two drawings (100)")
    options = parser.parse_args(arguments)
    if options.every < 1:
        parser.error(f"--every must be at least 1, got {options.every}")
    return failures.exit_status("train.py", lambda: main(options), (project_config.ConfigError,))


if __name__ == "__main__":
    sys.exit(cli_main())
