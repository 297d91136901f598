"""The command line, run as a user runs it; random weights, so colours mean nothing here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seeded_network import seeded_generator

from chromagan.checkpoint.release_file import save_release
from chromagan.colorize import main
from chromagan.images import read_image, write_image
from chromagan.inference.colorizer import load_colorizer
from chromagan.inference.jobs import plan_jobs
from chromagan.inference.pipeline import Settings, colorize_files
from chromagan.inference.recolour import recolour
from chromagan.samples import sample_paths

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    network = seeded_generator(width=16, class_head=False)
    path = tmp_path_factory.mktemp("checkpoint") / "random.safetensors"
    save_release(path, network, name="random")
    return str(path)


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`album/` with three photographs, one of them broken, in the working folder."""
    monkeypatch.chdir(tmp_path)
    photo = read_image(sample_paths("historic")[0])[:120, :160]
    (tmp_path / "album" / "deep").mkdir(parents=True)
    Image.fromarray(photo).save(tmp_path / "album" / "a.jpg")
    Image.fromarray(photo[:50]).save(tmp_path / "album" / "deep" / "b.tif")
    (tmp_path / "album" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no")
    return tmp_path


def run(*arguments: str, checkpoint: str) -> int:
    return main([*arguments, "--checkpoint", checkpoint, "--working-size", "64"])


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_one_file_to_one_file(album: Path, checkpoint: str) -> None:
    assert run("album/a.jpg", "-o", "new.png", "--fit", "square", checkpoint=checkpoint) == 0
    photo = read_image(album / "album" / "a.jpg")
    colorizer = load_colorizer(checkpoint, fit="square", working_size=64)
    np.testing.assert_array_equal(read_image(album / "new.png"), colorizer(photo))


def test_a_folder_with_a_broken_file(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("album", "missing.jpg", "-o", "out", checkpoint=checkpoint) == 1
    assert tree(album / "out") == ["a.png", "deep/b.png"]
    said = capsys.readouterr()
    assert "album/broken.jpg: the image" in said.err
    assert "missing.jpg: there is no such file" in said.err
    assert "Traceback" not in said.err
    assert said.out.strip() == "2 coloured, 2 failed"


def test_existing_results_are_skipped_unless_told(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "album" / "broken.jpg").unlink()
    (album / "out").mkdir()
    (album / "out" / "a.png").write_bytes(b"mine")
    assert run("album", "-o", "out", checkpoint=checkpoint) == 0
    assert "1 coloured, 1 already there" in capsys.readouterr().out
    assert (album / "out" / "a.png").read_bytes() == b"mine"
    assert run("album", "-o", "out", "--overwrite", checkpoint=checkpoint) == 0
    assert read_image(album / "out" / "a.png").shape == (120, 160, 3)


def test_saturation_zero_is_the_grey_photograph(album: Path, checkpoint: str) -> None:
    assert run("album/a.jpg", "-o", "grey.png", "--saturation", "0", checkpoint=checkpoint) == 0
    grey = read_image(album / "grey.png").astype(int)
    assert np.ptp(grey, axis=2).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("album/a.jpg", "album", "-o", "x.png"), "several inputs need a folder"),
        (("empty", "-o", "out"), "no image files in empty"),
        (("album/a.jpg", "-o", "out", "--checkpoint", "nope"), "no checkpoint named 'nope'"),
        (("album/a.jpg", "-o", "out", "--device", "tpu"), "device 'tpu' cannot be used"),
        (("album/a.jpg", "-o", "out", "--working-size", "65"), "multiple of 32"),
    ],
)
def test_wrong_usage_is_explained(
    album: Path,
    checkpoint: str,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    (album / "empty").mkdir()
    assert main(["--checkpoint", checkpoint, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--saturation", "-1"), ("--saturation", "nan"), ("--batch", "0"), ("--max-pixels", "0M")],
)
def test_wrong_numbers_are_usage_errors(flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["a.jpg", "-o", "b.png", f"{flag}={value}"])
    assert caught.value.code == 2


def test_max_pixels(album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("album/a.jpg", "-o", "out", "--max-pixels")
    assert run(*arguments, "0.01M", checkpoint=checkpoint) == 1
    assert "more than the limit of 0.01 megapixels" in capsys.readouterr().err
    assert run(*arguments, "19200", checkpoint=checkpoint) == 0


@pytest.mark.parametrize("budget", [1, 20_000, 10_000_000])
@pytest.mark.parametrize("batch", [1, 3])
def test_pipeline_does_every_job_once_whatever_its_limits(
    tmp_path: Path, checkpoint: str, budget: int, batch: int
) -> None:
    rng = np.random.default_rng(0)
    for i in range(7):
        image = rng.integers(0, 256, (40 + 30 * (i % 3), 60, 3), dtype=np.uint8)
        write_image(tmp_path / f"{i}.png", image)
    (tmp_path / "5.png").write_bytes(b"broken")
    jobs = plan_jobs([str(tmp_path)], str(tmp_path / "out")).jobs
    colorizer = load_colorizer(checkpoint, working_size=64)
    settings = Settings(batch=batch, pixel_budget=budget, saturation=1.5)
    outcomes = list(colorize_files(jobs, colorizer, settings))
    assert sorted(outcome.job.source.name for outcome in outcomes) == [f"{i}.png" for i in range(7)]
    assert [o.job.source.name for o in outcomes if o.error] == ["5.png"]
    for i in (0, 6):
        image = read_image(tmp_path / f"{i}.png")
        expected = recolour(image, colorizer.predict_ab(image), saturation=1.5)
        result = read_image(tmp_path / "out" / f"{i}.png").astype(int)
        assert np.abs(result - expected).max() <= 1


def test_unwritable_result_does_not_stop_the_rest(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "out").mkdir()
    (album / "out" / "deep").touch()  # a file where a folder is needed
    (album / "album" / "broken.jpg").unlink()
    assert run("album", "-o", "out", checkpoint=checkpoint) == 1
    assert "out/deep/b.png: the result cannot be written" in capsys.readouterr().err
    assert (album / "out" / "a.png").is_file()


@pytest.mark.timeout(280)
def test_two_processes_share_the_files(album: Path) -> None:
    """What torchrun sets is the environment; each process does its own share exactly once."""
    release = album / "with-graph" / "model.safetensors"  # starts without PyTorch, thus sooner
    network = seeded_generator(width=8, class_head=False)
    save_release(release, network, name="random", graph=True)
    photo = read_image(album / "album" / "a.jpg")
    for i in range(4):
        write_image(album / "album" / f"n{i}.png", photo)
    arguments = [sys.executable, "-m", "chromagan.colorize", "album", "-o", "out"]
    arguments += ["--checkpoint", str(release), "--working-size", "64", "--engine", "onnxruntime"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            arguments,
            env={**environment, "RANK": str(rank)},
            cwd=album,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=250) for process in processes]
    assert tree(album / "out") == ["a.png", "deep/b.png", *(f"n{i}.png" for i in range(4))]
    assert sorted(process.returncode for process in processes) == [0, 1]  # one met the broken file
    assert sum(int(out.split("] ")[1].split()[0]) for out, _ in said) == 6
    assert sum("broken.jpg" in errors for _, errors in said) == 1


# --- the same command again


@pytest.mark.parametrize("kind", ["png", "same", "tiff"])
def test_a_folder_as_its_own_output_never_colours_its_results(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (album / "album" / "broken.jpg").unlink()
    photo = read_image(album / "album" / "a.jpg")
    write_image(album / "album" / "a.png", photo)
    before = {name: (album / "album" / name).read_bytes() for name in tree(album / "album")}
    for turn in range(3):
        assert run("album", "-o", "album", "--format", kind, checkpoint=checkpoint) == 0
        said = capsys.readouterr().out
        assert said.startswith("3 coloured" if turn == 0 else "0 coloured, 3 already there")
        assert len(tree(album / "album")) == 6
    for name, content in before.items():
        assert (album / "album" / name).read_bytes() == content


def test_results_in_another_folder_are_known_when_they_are_met(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "album" / "broken.jpg").unlink()
    assert run("album", "-o", "album/one", checkpoint=checkpoint) == 0
    assert run("album", "-o", "album/two", checkpoint=checkpoint) == 0
    assert tree(album / "album" / "two") == ["a.png", "deep/b.png"]
    assert "2 left out that this program has coloured itself" in capsys.readouterr().out
    assert run("album/one/a.png", "-o", "again.png", checkpoint=checkpoint) == 0
    assert not (album / "again.png").exists()


def test_what_a_folder_holds_besides_is_said(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "album" / "scan.pdf").write_bytes(b"%PDF-1.7")
    photo = Image.open(album / "album" / "a.jpg")
    photo.save(album / "album" / "twitter.jpg_large", "JPEG")
    photo.save(album / "album" / "map.ppm")
    assert run("album", "-o", "out", checkpoint=checkpoint) == 1
    said = capsys.readouterr()
    assert "album/scan.pdf: left out, a PDF document" in said.err
    assert said.out.startswith("4 coloured")


def test_a_cut_photograph_is_coloured_when_insisted(
    album: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (album / "album" / "a.jpg").read_bytes()
    (album / "cut.jpg").write_bytes(whole[:-400])
    assert run("cut.jpg", "-o", "out", checkpoint=checkpoint) == 1
    assert "--accept-damaged" in capsys.readouterr().err
    assert run("cut.jpg", "-o", "out", "--accept-damaged", checkpoint=checkpoint) == 0
    assert "cut.jpg: the file was cut off" in capsys.readouterr().err
    assert (album / "out" / "cut.png").is_file()


@pytest.mark.parametrize("stem", ["祖母婚礼" * 20, "Бабушка", "الجدة", "n\u0303" * 60])
def test_names_of_all_scripts_and_lengths(album: Path, checkpoint: str, stem: str) -> None:
    name = stem.encode()[:244].decode("utf-8", "ignore") + ".jpg"
    (album / "album" / "a.jpg").rename(album / name)
    assert run(name, "-o", "out", checkpoint=checkpoint) == 0
    assert len(tree(album / "out")) == 1


def test_a_name_that_is_no_text(album: Path, checkpoint: str) -> None:
    name = os.fsencode(album) + b"/gro\xdfmutter.jpg"
    os.rename(album / "album" / "a.jpg", name)
    arguments = (os.fsdecode(name), "-o", "out", "--manifest", "list.csv")
    assert run(*arguments, checkpoint=checkpoint) == 0
    assert len(list((album / "out").iterdir())) == 1
