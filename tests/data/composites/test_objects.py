"""Which objects there are, and that none is in two splits."""

import pytest
from made_up_stamps import NUMBER

from galvm_hf.data.composites.objects import SPLITS, read_objects, split_of


def test_splits_share_no_object_and_leave_none_out(made_up):
    names = [{real.name for real in read_objects(made_up, split)} for split in SPLITS]
    assert all(names)
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert len(set.union(*names)) == 4 * NUMBER + 1


def test_the_split_of_a_name_is_for_good():
    names = ("CFHTLSJ022546.1-073738", "CFHTLSJ141137.3+565119", "a", "b")
    assert [split_of(name) for name in names] == ["test", "validation", "test", "train"]


def test_entries_of_one_object_stay_together(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "cfhtls-space-warps"
    folder.mkdir()
    (tmp_path / "sdss-unlabelled").mkdir()
    rows = [
        {"name": f"{letter}{index}", "ra": 10.0 + index, "dec": 60.0 + shift / 3600, "expert_grade": 3.0,
         "image": {"bytes": b"", "path": "x.png"}}
        for index in range(20)
        for letter, shift in (("a", 0.0), ("b", 4.0))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "all.parquet")
    galaxies = [{"image": {"bytes": b"", "path": "1.jpg"}, "source": "sdss-0.2arcsec"}]
    pq.write_table(pa.Table.from_pylist(galaxies), tmp_path / "sdss-unlabelled" / "all.parquet")
    train = {real.name for real in read_objects(tmp_path, "train")}
    assert 0 < len(train) < len(rows)
    assert {name[1:] for name in train if name[0] == "a"} == {name[1:] for name in train if name[0] == "b"}


def test_legacy_lenses_are_for_tests_alone(made_up):
    sources = {split: {real.source for real in read_objects(made_up, split)} for split in SPLITS}
    assert ["legacy-lenses" in sources[split] for split in SPLITS] == [False, False, True]
    lenses = [real.name for real in read_objects(made_up, "test") if real.source == "legacy-lenses"]
    assert lenses == ["ssl_previous_lens"]


def test_grades_make_lenses_and_negatives(galvm_data):
    objects = [real for split in SPLITS for real in read_objects(galvm_data, split)]
    space_warps = [real for real in objects if real.source == "cfhtls-space-warps"]
    assert len([real for real in space_warps if real.kind == "lens"]) == 47
    assert len([real for real in space_warps if real.kind == "negative"]) == 126


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="cfhtls-space-warps holds no Parquet file"):
        read_objects(tmp_path, "train")
