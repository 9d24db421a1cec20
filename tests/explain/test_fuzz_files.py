"""Records and rationales from damaged files: read as they were, or refused by the file's name."""

import json
import tarfile
import zipfile

import numpy as np
import pytest

from explain import explanation
from explain import rationale_files


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


def attempt(read, path):
    """Return what was read and "", or None and why it was refused."""
    try:
        return read(path), ""
    except (ValueError, FileNotFoundError) as error:
        return None, str(error)


@pytest.fixture
def packed(tmp_path, build_record):
    path = tmp_path / "records.npz"
    explanation.save_npz([build_record("a film"), build_record("so dull a film")], path)
    return path


def test_a_bit_flipped_anywhere_in_packed_records_is_told_or_changes_nothing(packed):
    sound, told = packed.read_bytes(), 0
    expected = list(explanation.json_lines(explanation.load_npz(packed)))
    for place in range(0, len(sound), 3):
        packed.write_bytes(flipped(sound, place))
        found, reason = attempt(explanation.load_npz, packed)
        if reason:
            told += 1
            assert reason.startswith(str(packed)), place
            assert "\n" not in reason
        else:
            assert list(explanation.json_lines(found)) == expected, place
    # the rest are times and attributes of the archive's members
    assert told > 0.6 * len(range(0, len(sound), 3))


def test_packed_records_cut_anywhere_are_told(packed):
    sound = packed.read_bytes()
    for length in range(0, len(sound), 11):
        packed.write_bytes(sound[:length])
        with pytest.raises(ValueError, match=r"records\.npz must be a file that save_npz wrote"):
            explanation.load_npz(packed)


def test_an_array_alone_or_a_text_among_the_arrays_is_no_file_of_records(packed):
    np.save(packed.with_suffix(".npy"), np.ones(3))
    packed.with_suffix(".npy").replace(packed)
    with pytest.raises(ValueError, match=r"records\.npz must be a file that save_npz wrote"):
        explanation.load_npz(packed)
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (
            "records",
            "scores",
            "token_scores",
            "probabilities",
            "attention",
            "layer_scores",
        ):
            archive.writestr(f"{name}.npy", b"no array")
    with pytest.raises(ValueError, match=r"records\.npz must be a file that save_npz wrote"):
        explanation.load_npz(packed)


@pytest.mark.parametrize(
    "change", [{"scores": [10**400]}, {"attention": {"shape": [10**30], "values": [1]}}]
)
def test_a_number_that_no_array_holds_is_no_record(change, tmp_path, build_record):
    path = tmp_path / "records.jsonl"
    explanation.save_jsonl([build_record("film")], path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(
        ValueError, match=r"records\.jsonl:1: must be a saved explanation, got a field"
    ):
        explanation.load_jsonl(path)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"id": ' + "9" * 5000 + "}"], ids=["brackets", "digits"]
)
def test_rationales_that_the_json_reader_gives_up_are_named_by_line(line, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(f"\n{line}\n")
    for read, source in (
        (rationale_files.read_rationales, path),
        (rationale_files.read_hatexplain, tmp_path),
        (rationale_files.read_eraser, tmp_path),
    ):
        with pytest.raises(
            ValueError, match=r"train\.jsonl:2: must be a JSON object, got"
        ) as caught:
            read(source)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_a_bit_flipped_anywhere_in_an_archive_is_told_or_leaves_documents(packing, tmp_path):
    """A tar archive has checksums of its headers only, so that a letter of a document may be another."""
    row = {"annotation_id": "mill", "classification": "still", "evidences": []}
    folder = tmp_path / "movies"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "mill").write_text("the river runs past it " * 40)
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    archive = tmp_path / "movies.tar"
    with tarfile.open(archive, f"w:{packing}") as tar:
        tar.add(folder, "movies")
    sound, told = archive.read_bytes(), 0
    assert len(rationale_files.read_eraser(archive)["train"]) == 1
    places = range(0, len(sound), 1 + len(sound) // 150)
    for place in places:
        archive.write_bytes(flipped(sound, place))
        _, reason = attempt(rationale_files.read_eraser, archive)
        told += bool(reason)
        assert not reason or str(archive) in reason, place
    # a plain archive is two fifths padding and text, which nothing checks
    assert told > 0.3 * len(places)
