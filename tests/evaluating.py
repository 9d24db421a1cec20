"""The command that measures explanations, run on a tiny classifier and four reviews."""

import pytest

from scripts import evaluate_explanations
from tests.explain import classifier_folder

TABLE = """text\tlabel
the film was so fine\tgood
it was very dull\tbad
I fine me\tso-so
a dull film and it was so dull\tbad
"""
METHODS = "gradient_x_input,attention_last"


@pytest.fixture(scope="module")
def folder(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("classifier"), tiny_release)


@pytest.fixture
def evaluate(folder, tmp_path, capsys, caplog):
    table = tmp_path / "reviews.tsv"
    table.write_text(TABLE, encoding="utf-8")

    def run(*arguments, data=("--data_file", str(table))):
        status = evaluate_explanations.cli_main(
            [
                *("--model_dir", str(folder), "--methods", METHODS, "--draws", "2", *data),
                *("--output", str(tmp_path / "out" / "e.json"), *arguments),
            ]
        )
        return status, capsys.readouterr(), caplog.text

    return run
