"""Which file becomes which result."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chromagan.inference.jobs import Job, JobError, plan_jobs, share

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
    jobs, missing = plan_jobs(inputs, output)
    assert missing == []
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
    jobs, missing = plan_jobs(["one.jpg", "nowhere.jpg", "no*.tif"], "out")
    assert [job.source.name for job in jobs] == ["one.jpg"]
    assert missing == ["nowhere.jpg", "no*.tif"]


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["one.jpg", "two.tif"], "new.png", "several inputs need a folder"),
        (["album"], "new.png", "several inputs need a folder"),
        (["one.jpg"], "new.gif", "written as one of"),
        (["one.jpg", "two.tif"], "x.txt", "a file, not a folder"),
        (["one.jpg"], "one.jpg", "would be overwritten"),
        (["album"], "album", "would be overwritten"),
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
    jobs, _ = plan_jobs([str(root / str(folder)) for folder in range(folders)], str(root / "out"))
    targets = [str(job.target).casefold() for job in jobs]
    assert len(set(targets)) == len(targets) == folders * len(names)


@relaxed
@given(count=st.integers(0, 50), processes=st.integers(1, 9))
def test_shares_cover_every_job_once(count: int, processes: int) -> None:
    jobs = [Job(Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(count)]
    shares = [share(jobs, rank, processes) for rank in range(processes)]
    assert sorted(str(j.source) for s in shares for j in s) == sorted(str(j.source) for j in jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
