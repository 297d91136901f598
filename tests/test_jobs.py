"""Which file becomes which result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chromagan.inference.jobs import Job, JobError, plan_jobs, shard, share

relaxed = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `album/`, `one.jpg` and `two.tif`."""
    monkeypatch.chdir(tmp_path)
    for name in ("album/a.jpg", "album/b/a.jpg", "album/b/c.png", "one.jpg", "two.tif", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def pairs(inputs: list[str], output: str) -> dict[str, str]:
    plan = plan_jobs(inputs, output)
    jobs = plan.jobs
    assert plan.missing == []
    assert len({job.target for job in jobs}) == len(jobs)
    return {job.source.as_posix(): job.target.as_posix() for job in jobs}


@pytest.mark.usefixtures("album")
def test_folders_keep_their_structure() -> None:
    assert pairs(["album"], "out") == {
        "album/a.jpg": "out/a.png",
        "album/b/a.jpg": "out/b/a.png",
        "album/b/c.png": "out/b/c.png",
    }


@pytest.mark.usefixtures("album")
def test_files_and_globs() -> None:
    assert pairs(["one.jpg"], "new.webp") == {"one.jpg": "new.webp"}
    assert pairs(["one.jpg"], "out") == {"one.jpg": "out/one.png"}
    assert pairs(["one.jpg"], "out.v2") == {"one.jpg": "out.v2/one.png"}
    assert pairs(["*.tif", "one.jpg"], "out") == {
        "two.tif": "out/two.png",
        "one.jpg": "out/one.png",
    }
    assert pairs(["album/**/*.png"], "out") == {"album/b/c.png": "out/c.png"}
    assert pairs(["x.txt"], "out") == {
        "x.txt": "out/x.png"
    }  # named by hand: told to the user later


@pytest.mark.usefixtures("album")
def test_an_input_named_twice_is_done_once() -> None:
    assert len(pairs(["album", "album/a.jpg", "./album/../album/a.jpg"], "out")) == 3


def test_equal_stems_do_not_share_a_result(album: Path) -> None:
    (album / "album" / "a.png").touch()
    (album / "album" / "A.TIF").touch()
    assert pairs(["album"], "out") == {
        "album/A.TIF": "out/A.TIF.png",
        "album/a.jpg": "out/a.jpg.png",
        "album/a.png": "out/a.png.png",
        "album/b/a.jpg": "out/b/a.png",
        "album/b/c.png": "out/b/c.png",
    }


@pytest.mark.usefixtures("album")
def test_equal_names_from_two_folders_are_numbered() -> None:
    assert pairs(["album/a.jpg", "album/b/a.jpg"], "out") == {
        "album/a.jpg": "out/a.jpg.png",
        "album/b/a.jpg": "out/a.jpg-2.png",
    }


def test_results_inside_the_input_folder_are_no_inputs(album: Path) -> None:
    (album / "album" / "out").mkdir()
    (album / "album" / "out" / "a.png").touch()
    assert set(pairs(["album"], "album/out")) == {"album/a.jpg", "album/b/a.jpg", "album/b/c.png"}


@pytest.mark.usefixtures("album")
def test_missing_inputs_are_reported_beside_the_rest() -> None:
    plan = plan_jobs(["one.jpg", "nowhere.jpg", "no*.tif"], "out")
    assert [job.source.name for job in plan.jobs] == ["one.jpg"]
    assert plan.missing == ["nowhere.jpg", "no*.tif"]


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["one.jpg", "two.tif"], "new.png", "several inputs need a folder"),
        (["album"], "new.png", "several inputs need a folder"),
        (["one.jpg"], "new.gif", "written as one of"),
        (["one.jpg", "two.tif"], "x.txt", "a file, not a folder"),
        (["one.jpg"], "one.jpg", "would be overwritten"),
    ],
)
@pytest.mark.usefixtures("album")
def test_outputs_that_cannot_be_right(inputs: list[str], output: str, words: str) -> None:
    with pytest.raises(JobError, match=words):
        plan_jobs(inputs, output)


@relaxed
@given(
    names=st.lists(
        st.tuples(st.sampled_from("aAbé"), st.sampled_from([".jpg", ".png", ".JPG", ".jpg.png"])),
        min_size=1,
        max_size=12,
        unique=True,
    ),
    folders=st.integers(1, 3),
)
def test_no_two_inputs_ever_share_a_result(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], folders: int
) -> None:
    root = tmp_path_factory.mktemp("names")
    for folder in range(folders):
        for stem, suffix in names:
            (root / str(folder)).mkdir(exist_ok=True)
            (root / str(folder) / f"{stem}{suffix}").touch()
    jobs = plan_jobs([str(root / str(folder)) for folder in range(folders)], str(root / "out")).jobs
    targets = [str(job.target).casefold() for job in jobs]
    assert len(set(targets)) == len(targets) == folders * len(names)


@relaxed
@given(count=st.integers(0, 50), processes=st.integers(1, 9))
def test_shares_cover_every_job_once(count: int, processes: int) -> None:
    jobs = [Job(Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(count)]
    shares = [share(jobs, rank, processes) for rank in range(processes)]
    assert sorted(str(j.source) for s in shares for j in s) == sorted(str(j.source) for j in jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


# --- results beside their originals


def test_a_result_never_takes_an_originals_place(album: Path) -> None:
    (album / "album" / "a.png").touch()
    assert pairs(["album"], "album") == {
        "album/a.jpg": "album/a.jpg.png",
        "album/a.png": "album/a.png.png",
        "album/b/a.jpg": "album/b/a.png",
        "album/b/c.png": "album/b/c.png.png",
    }


@relaxed
@given(
    names=st.lists(
        st.tuples(st.sampled_from("aAb"), st.sampled_from([".jpg", ".png", ".jpg.png", ".tif"])),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    kind=st.sampled_from(["png", "tiff", "jpeg", "same"]),
)
def test_no_result_is_ever_an_input(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], kind: str
) -> None:
    root = tmp_path_factory.mktemp("names")
    for stem, suffix in names:
        (root / f"{stem}{suffix}").touch()
    jobs = plan_jobs([str(root)], str(root), kind=kind).jobs
    sources = {str(job.source).casefold() for job in jobs}
    targets = {str(job.target).casefold() for job in jobs}
    assert len(targets) == len(names)
    assert not sources & targets


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("png", "a.jpg", "a.png"),
        ("tiff", "a.jpg", "a.tif"),
        ("jpeg", "a.png", "a.jpg"),
        ("webp", "a.png", "a.webp"),
        ("same", "a.JPEG", "a.JPEG"),
        ("same", "a.tiff", "a.tiff"),
        ("same", "a.heic", "a.png"),
    ],
)
def test_formats(album: Path, kind: str, name: str, expected: str) -> None:
    (album / "f" / name).parent.mkdir()
    (album / "f" / name).touch()
    assert [job.target.name for job in plan_jobs(["f"], "out", kind=kind).jobs] == [expected]


@pytest.mark.parametrize("stem", ["祖" * 81, "é" * 120, "a" * 250])
def test_the_longest_names_have_results(album: Path, stem: str) -> None:
    folder = album / "long"
    folder.mkdir()
    for suffix in (".jpg", ".bmp"):
        (folder / f"{stem}{suffix}").touch()
    jobs = plan_jobs(["long"], "out").jobs
    assert len({job.target for job in jobs}) == 2
    assert all(len(os.fsencode(job.target.name)) <= 255 for job in jobs)


def test_brackets_in_folder_names_are_literal(album: Path) -> None:
    folder = album / "album [1940]"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert list(pairs(["album [1940]/*.jpg"], "out").values()) == ["out/a.png"]


def test_what_is_left_out_is_known(album: Path) -> None:
    (album / "album" / "notes.txt").write_text("notes")
    (album / "album" / "a.jpg.xmp").write_text("<x/>")
    plan = plan_jobs(["album"], "out")
    assert plan.left_out == [(Path("album/notes.txt"), "a text file")]


@relaxed
@given(count=st.integers(0, 60), machines=st.integers(1, 9))
def test_shards_cover_every_job_once_and_do_not_move(count: int, machines: int) -> None:
    jobs = [Job(Path(f"{i}.jpg"), Path(f"out/{i}.png")) for i in range(count)]
    parts = [shard(jobs, "out", k + 1, machines) for k in range(machines)]
    assert sorted(j.target for part in parts for j in part) == sorted(j.target for j in jobs)
    fewer = jobs[::2]
    for k, part in enumerate(parts):
        assert shard(fewer, "out", k + 1, machines) == [job for job in fewer if job in part]
