"""The results table of the README, measured again; minutes of work, so only where it is asked for.

`BERT_MEASURE=1 BERT_DATA_DIR=... pytest tests/test_measured_results.py`; see CONTRIBUTING.md.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = os.environ.get("BERT_DATA_DIR")


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    not (DATA and os.environ.get("BERT_MEASURE")),
    reason="takes about 15 minutes: set $BERT_MEASURE, and $BERT_DATA_DIR to a folder with imdb/",
)
def test_5000_imdb_reviews_give_the_accuracy_of_the_readme(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [
        block
        for block in re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL)
        if "--max_examples 5000" in block
    ]
    script = block.replace("out/", f"{tmp_path}/").replace("python ", f"'{sys.executable}' ")
    subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, check=True)
    lines = (tmp_path / "imdb5k" / "test_eval_results.txt").read_text().splitlines()
    results = dict(line.split(" = ") for line in lines)
    assert float(results["eval_accuracy"]) >= 0.855


@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    not (DATA and os.environ.get("BERT_MEASURE")),
    reason="takes about 3 minutes: set $BERT_MEASURE, and $BERT_DATA_DIR to a folder with imdb/",
)
def test_a_model_of_three_numbers_a_word_gives_the_accuracy_of_its_page(tmp_path):
    page = (ROOT / "explain" / "README.md").read_text(encoding="utf-8")
    (block,) = [
        block
        for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
        if "prepare_nano.py" in block
    ]
    script = block.replace("out/", f"{tmp_path}/").replace("python ", f"'{sys.executable}' ")
    subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, check=True)
    lines = (tmp_path / "nano_imdb" / "test_eval_results.txt").read_text().splitlines()
    results = dict(line.split(" = ") for line in lines)
    assert float(results["eval_accuracy"]) >= 0.80
