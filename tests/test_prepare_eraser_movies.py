import json
import tarfile

import pytest

from explain import rationale_files
from scripts import prepare_eraser_movies


@pytest.fixture
def movies(tmp_path):
    folder = tmp_path / "movies"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "posR_1.txt").write_text("a  quiet\nmill by the river\n")
    (folder / "docs" / "negR_2.txt").write_text("old gate\n")
    for split, guid, label, end in (
        ("train", "posR_1.txt", "POS", 4),
        ("val", "negR_2.txt", "NEG", 2),
    ):
        evidence = {"docid": guid, "start_token": 1, "end_token": end}
        row = {"annotation_id": guid, "classification": label, "evidences": [[evidence]]}
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_each_split_becomes_a_table_and_rationales(movies, tmp_path, capsys, packed):
    source, out = movies, tmp_path / "out"
    if packed:
        source = tmp_path / "movies.tar.gz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(movies, "movies")
    assert prepare_eraser_movies.main([f"--input={source}", f"--output_dir={out}"]) == 0
    assert (out / "train.tsv").read_text() == (
        "id\ttext\tlabel\nposR_1.txt\ta quiet mill by the river\tPOS\n"
    )
    assert (out / "dev.tsv").read_text() == "id\ttext\tlabel\nnegR_2.txt\told gate\tNEG\n"
    (train,) = rationale_files.read_rationales(out / "train_rationales.jsonl")
    assert train.mask == (False, True, True, True, False, False)
    assert not (out / "test.tsv").exists()
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{out}/train.tsv and {out}/train_rationales.jsonl: 1 documents, 1 with marked tokens: "
        "3.0 or 50.0% of their tokens on average"
    )


def test_a_broken_offset_is_one_line_and_nothing_is_written(movies, tmp_path, capsys):
    (movies / "docs" / "negR_2.txt").write_text("old\n")
    out = tmp_path / "out"
    assert prepare_eraser_movies.main([f"--input={movies}", f"--output_dir={out}"]) == 1
    shown = capsys.readouterr()
    assert shown.err == (
        f"prepare_eraser_movies.py: {movies}/val.jsonl:1: evidence must lie within the 1 tokens of "
        "docs/negR_2.txt, got 1 to 2; is it another version of the document?\n"
    )
    assert shown.out == ""
    assert not out.exists()


def test_a_missing_source_is_one_line(tmp_path, capsys):
    arguments = [f"--input={tmp_path / 'nowhere'}", f"--output_dir={tmp_path / 'out'}"]
    assert prepare_eraser_movies.main(arguments) == 1
    assert "nowhere must hold docs/ and train.jsonl" in capsys.readouterr().err
