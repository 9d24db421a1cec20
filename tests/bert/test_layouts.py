from bert import layouts


def test_shards_come_before_their_index_and_weights_after_all_else():
    names = [
        "model.safetensors.index.json",
        "vocab.txt",
        "model-00002-of-00002.safetensors",
        "special_tokens_map.json",
        "model-00001-of-00002.safetensors",
        "config.json",
        "onnx/config.json",
        "pytorch_model-00001-of-00001.bin",
        "model.fp16.safetensors",
        "tokenizer_config.json",
    ]
    assert layouts.wanted(names, "Hugging Face") == [
        "config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]


def test_folder_with_two_layouts_is_one_model():
    google = ["bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"]
    both = [*google, "config.json", "pytorch_model.bin", "vocab.txt"]
    found = layouts.only_model([f"scibert/{name}" for name in both])
    assert found == {f"scibert/{name}": name for name in both}
