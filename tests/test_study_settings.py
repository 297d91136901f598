"""The YAML configuration: errors name the key, the hash names the study."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from study_site import STEADY

from study.settings import ConfigError, config_from, hash_study, load_config
from study.web.phrases import TEXTS, load_phrases

MANIFEST = "0" * 64
EMPTY_HASH = "5427f3d313e1f5cea4fb1de8bb10e0d169b222f9c96cd1c754422c3fd3c4cca7"
USED_HASH = "697764fb13b25866f138a513a3efb74979a205df10cc802a84c71e6852958c6d"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"trails": 5}, "trails: unknown key; did you mean 'trials'"),
        ({"trials": "many"}, "trials: needs a whole number"),
        ({"trials": 0}, "trials: needs a number from 1"),
        ({"trials": True}, "trials: needs a whole number"),
        ({"practice": {"feedback": 1}}, "practice.feedback: needs true or false"),
        ({"practice": 3}, "practice: needs a mapping"),
        ({"methods": {"real": 0}}, "methods.real: needs a number"),
        ({"methods": {"real": float("nan")}}, "methods.real: needs a number"),
        ({"questions": [{"id": "A b", "text": "x"}]}, r"questions\[0\].id"),
        ({"questions": [{"text": "x"}]}, r"questions\[0\].id: missing"),
        ({"questions": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]}, "only once"),
        ({"plates": {"count": 1, "needed": 2}}, "plates.needed"),
        ({"languages": ["../x"]}, "languages"),
        ({"languages": []}, "languages"),
        ({"title": {}}, "title: needs a text"),
        ({"exposure_ms": [500, "long"]}, r"exposure_ms\[1\]: needs a whole number"),
        ({"exposure_ms": [500, 500]}, "exposure_ms: every time can be used only once"),
        ({"task": "triples"}, "task: needs one of 'single' or 'pairs'"),
        ({"pairs": [["a", "b"]]}, "pairs: needs `task: pairs`"),
        ({"task": "pairs", "pairs": [["a", "b"], ["b", "a"]]}, "pairs: every pair"),
        ({"task": "pairs", "pairs": [["a", "a"]]}, "cannot meet itself"),
        ({"task": "pairs", "methods": {"a": 1}}, "name `pairs` instead"),
        ({"trials": 0, "blank_ms": -1}, "trials: .*; blank_ms: needs"),
        ({"completion": {"redirect": "http://x"}}, "https"),
        ({"completion": {"completed": "a b&c"}}, "completion.completed"),
        ([1], "needs a mapping"),
    ],
)
def test_a_wrong_key_is_named(data: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_from(data)


def test_an_empty_file_is_the_paper_s_study(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("# nothing\n")
    config = load_config(path)
    assert config.trials == 50
    assert config.exposure_ms is None


@pytest.mark.parametrize("text", ["a: [", "\x00", "a: !!python/object:os.system x"])
def test_broken_yaml_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(path)


@STEADY
@given(trials=st.integers(1, 1000), blank=st.integers(0, 5000))
def test_the_hash_depends_on_content_alone(trials: int, blank: int) -> None:
    first = hash_study(config_from({"trials": trials, "blank_ms": blank}), MANIFEST)
    second = hash_study(
        config_from({"blank_ms": blank, "trials": trials, "stimuli": "elsewhere"}), MANIFEST
    )
    assert first == second
    changed = config_from({"trials": trials % 1000 + 1, "blank_ms": blank})
    assert hash_study(changed, MANIFEST) != first
    assert hash_study(config_from({"trials": trials, "blank_ms": blank}), "1" * 64) != first


def test_an_update_of_the_program_does_not_end_a_running_study() -> None:
    """Hashes of the first release: keys that came later count only where they are used."""
    used = {"trials": 12, "exposure_ms": 500, "methods": {"real": 1, "full": 2.5}, "title": "x"}
    assert hash_study(config_from({}), MANIFEST) == EMPTY_HASH
    assert hash_study(config_from(used), MANIFEST) == USED_HASH
    assert hash_study(config_from({"exposure_ms": [500]}), MANIFEST) == hash_study(
        config_from({"exposure_ms": 500}), MANIFEST
    )
    for later in ({"task": "pairs"}, {"protocol": {"pay": "9 euros"}}, {"public": False}):
        assert hash_study(config_from(later), MANIFEST) != EMPTY_HASH


def test_every_language_has_every_text_with_the_same_places() -> None:
    import re

    english = yaml.safe_load((TEXTS / "en.yaml").read_text(encoding="utf-8"))
    others = sorted(path for path in TEXTS.glob("*.yaml") if path.stem != "en")
    assert others
    for path in others:
        texts = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(texts) == set(english)
        for key, text in texts.items():
            places = re.findall(r"\{(\w+)\}", text)
            assert sorted(places) == sorted(re.findall(r"\{(\w+)\}", english[key])), key


def test_a_study_s_own_words_are_escaped_and_keep_their_braces() -> None:
    config = config_from({"instructions": "Look at <b>{total}</b> **pictures** {x}.", "title": "T"})
    phrases = load_phrases(config)["en"]
    (paragraph,) = phrases.paragraphs("instructions_text", total=7)
    assert paragraph == "Look at &lt;b&gt;7&lt;/b&gt; <strong>pictures</strong> {x}."


def test_a_language_can_be_added_as_data(tmp_path: Path) -> None:
    config = config_from({"languages": ["de", "en"]})
    with pytest.raises(ConfigError, match="no texts for 'de'"):
        load_phrases(config)
    german = yaml.safe_load((TEXTS / "en.yaml").read_text(encoding="utf-8"))
    german["continue"] = "Weiter"
    (tmp_path / "de.yaml").write_text(yaml.safe_dump(german), encoding="utf-8")
    assert load_phrases(config, tmp_path)["de"]("continue") == "Weiter"
    del german["title"]
    (tmp_path / "de.yaml").write_text(yaml.safe_dump(german), encoding="utf-8")
    with pytest.raises(ConfigError, match="title"):
        load_phrases(config, tmp_path)
