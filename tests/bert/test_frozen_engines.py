"""The engines and precisions of a frozen classifier give the answers of TensorFlow in float32."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.bert import frozen_rows
from tests.bert import tuned_folders

tuned = tuned_folders.tuned
row = frozen_rows.row
everything = frozen_rows.everything
probabilities = frozen_rows.probabilities
model = frozen_rows.model
LONGEST = 16  # positions of the golden model


def test_in_bfloat16_only_the_encoders_layers_are_rounded_and_answers_stay_close(golden, tuned):
    seen = []

    def watched(outputs, features):
        seen.append((outputs.hidden_states[-1].dtype, outputs.pooled.dtype, outputs.logits.dtype))
        return probabilities(outputs, features)

    rows, folder = [row(length, length) for length in range(1, LONGEST + 1)], tuned()
    whole, half = (
        np.stack(list(model(folder, precision).graph(watched)(rows)))
        for precision in ("float32", "bfloat16")
    )
    assert seen == [(tf.float32,) * 3, (tf.bfloat16, tf.float32, tf.float32)]
    # bfloat16 keeps 8 bits: a rounding is 2**-9 of a value, and some dozen follow each other
    np.testing.assert_allclose(half, whole, rtol=0, atol=2e-2)
    assert np.abs(half - whole).max() > 1e-5


def test_openvino_that_is_not_installed_is_asked_for_in_one_line(tuned, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    graph = model(tuned(), engine="openvino").graph(probabilities)
    with pytest.raises(ValueError, match=r"^engine='openvino' needs OpenVINO; pip install -r \S+$"):
        list(graph([row(3)]))


def test_openvino_is_refused_for_double_precision(tuned):
    with pytest.raises(ValueError, match=r"needs precision float32 or bfloat16, got 'float64'"):
        model(tuned(), "float64", "openvino")


@pytest.mark.filterwarnings("ignore")  # OpenVINO's own
def test_openvino_gives_the_same_answers(tuned):
    pytest.importorskip("openvino", reason="wants the optional engine")
    rows, folder = [row(length, length) for length in (5, 16, 2, 9, 3)], tuned()
    expected, found = (
        list(model(folder, engine=engine).graph(everything)(rows))
        for engine in ("tensorflow", "openvino")
    )
    for theirs, ours in zip(found, expected, strict=True):
        assert theirs.keys() == ours.keys()
        assert theirs["nothing"] is None
        for name in ("probabilities", "attention", "matrix", "mask"):
            assert theirs[name].shape == ours[name].shape
            np.testing.assert_allclose(theirs[name], ours[name], atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # OpenVINO's own
def test_openvino_has_one_kernel_for_each_layer_norm(tuned):
    pytest.importorskip("openvino", reason="wants the optional engine")
    call, _ = model(tuned(), engine="openvino").graph(probabilities)._built
    compiled = call.__closure__[0].cell_contents
    kernels = [op.get_rt_info()["layerType"].value for op in compiled.get_runtime_model().get_ops()]
    # of the embeddings, and two of each of four layers
    assert kernels.count("MVN") == 1 + 2 * 4, kernels


@pytest.mark.filterwarnings("ignore")  # OpenVINO's own
def test_openvino_is_refused_for_gradients(tuned):
    pytest.importorskip("openvino", reason="wants the optional engine")

    def sensitivity(outputs, _):
        return tf.gradients(outputs.logits[:, 0], outputs.word_embeddings)[0]

    with pytest.raises(ValueError, match=r"runs graphs without gradients only"):
        list(model(tuned(), engine="openvino").graph(sensitivity)([row(3)]))


def test_compiled_by_xla_the_answers_are_the_same(tuned):
    folder, rows = tuned(), [row(length, length) for length in (5, 16, 3)]
    plain, compiled = (
        list(model(folder, engine=engine).graph(everything)(rows))
        for engine in ("tensorflow", "xla")
    )
    for one, other in zip(plain, compiled, strict=True):
        for name in ("probabilities", "attention"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)
    call, _ = model(folder, engine="xla").graph(probabilities)._built
    assert call.function_def.attr["_XlaMustCompile"].b


@pytest.mark.parametrize("wrong", [{"precision": "bf16"}, {"engine": "onnx"}])
def test_an_unknown_setting_is_refused(tuned, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^{name} must be one of \w+, "):
        model(tuned(), **wrong)
