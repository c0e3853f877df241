"""Where a checkpoint is looked for, in which order, and what comes over the network."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from sensorium.cli import main
from sensorium.errors import WeightsError
from sensorium.weights import Checkpoint, ask_hub, describe, find, hub, weights_here
from sensorium.weights.digest import file_digest
from sensorium.weights.find import locate, package_folder
from sensorium.weights.packages import PACKAGED, Packaged
from tests import made
from tests.bad_inputs.case import Case, make_folder, matches
from tests.bad_inputs.weights import BERT, CHECKSUM, UNREACHABLE, named, write_folder

TENSORS = save({"embeddings.weight": np.ones((3, 4), np.float32)})
FILES = {"config.json": BERT, "model.safetensors": TENSORS}
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def keep(cache: Path, name: str, commit: str, files: dict[str, Any], reference: str = "main") -> Path:
    """Files in the hub's cache, as huggingface_hub lays it out."""
    home = cache / f"models--{name.replace('/', '--')}"
    write_folder(home / "snapshots" / commit, files)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / reference).write_text(commit)
    return home / "snapshots" / commit


def test_a_folder_beside_the_recipe_comes_first(cache: Path, tmp_path: Path) -> None:
    keep(cache, "me/bert", "c1", FILES)
    assert locate("me/bert", tmp_path) == ("hub cache", cache / "models--me--bert/snapshots/c1")
    write_folder(tmp_path / "me" / "bert", FILES)
    assert locate("me/bert", tmp_path) == ("folder", tmp_path / "me" / "bert")
    assert locate(str(tmp_path / "me" / "bert"), Path("/")) == ("folder", tmp_path / "me" / "bert")


def test_a_revision_may_be_pinned(cache: Path, tmp_path: Path) -> None:
    keep(cache, "me/bert", "c1", FILES)
    keep(cache, "me/bert", "c2", {**FILES, "config.json": {**BERT, "hidden_size": 8}}, "v2")
    assert find("me/bert", tmp_path).config["hidden_size"] == 4
    assert find("me/bert@v2", tmp_path).config["hidden_size"] == 8
    assert find("me/bert@c2", tmp_path).config["hidden_size"] == 8
    with pytest.raises(WeightsError, match="me/bert@v3 is not here"):
        find("me/bert@v3", tmp_path)


def test_the_cache_is_where_huggingface_hub_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", "/models")
    assert hub.cache_folder() == Path("/models/hub")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert hub.cache_folder() == Path.home() / ".cache/huggingface/hub"


def test_what_was_fetched_in_part_is_not_used(cache: Path, tmp_path: Path) -> None:
    snapshot = keep(cache, "me/bert", "c1", {"config.json": BERT})
    (snapshot / "model.safetensors").symlink_to("../../blobs/never-fetched")  # beside its .incomplete
    assert locate("me/bert", tmp_path) is None
    with pytest.raises(
        WeightsError, match=r"was fetched in part: model.safetensors is missing; fetch it again"
    ):
        find("me/bert", tmp_path)


def test_a_package_takes_the_place_of_half_a_download(cache: Path, tmp_path: Path) -> None:
    if package_folder(PACKAGED[MINILM]) is None:
        pytest.skip("the package is not installed")
    keep(cache, MINILM, "c1", {"config.json": BERT})
    found = locate(MINILM, tmp_path)
    assert found is not None
    assert found.source == "package"


def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    write_folder(tmp_path / "my_weights" / "model", FILES)
    (tmp_path / "my_weights" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    entry = Packaged(
        "my-weights==1", "my_weights", "model", "model.safetensors", sha256, 1, 12, "float32", "MIT", {}, {}
    )
    monkeypatch.setitem(PACKAGED, "me/packaged", entry)


def expect(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its user reads the line, and no other."""
    make_folder(folder)
    case.spoil(folder)
    with pytest.raises(SystemExit) as caught:
        main(case.command.split())
    assert caught.value.code == case.code
    (line,) = capsys.readouterr().err.splitlines()
    assert matches(case.says, line.removeprefix("error: ")), line


def test_a_package_is_compared_with_its_checksum(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packaged(tmp_path, monkeypatch, "0" * 64)
    expect(CHECKSUM, here, capsys)
    packaged(tmp_path, monkeypatch, file_digest(tmp_path / "my_weights" / "model" / "model.safetensors"))
    assert find("me/packaged", Path("/")).config == BERT


def test_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "mine", FILES)

    def closed(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(WeightsError, match=r"mine: .* cannot be read \(Permission denied\)"):
        find("mine", tmp_path)


@pytest.mark.parametrize("verb", ["weights", "check", "train"])
def test_offline_opens_no_socket(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    for name in hub.OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    opened: list[Any] = []

    def refuse(*arguments: Any, **options: Any) -> None:
        opened.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    made.write_csv(here / "table.csv", made.simple_rows(24))
    recipe = made.simple_recipe()
    recipe["inputs"]["words"] = {
        "type": "text",
        "encoder": {"kind": "pretrained", "weights": "nobody/nothing"},
    }
    made.write_recipe(here / "recipe.yaml", recipe)
    monkeypatch.setenv("SENSORIUM_OFFLINE", "")  # so that what --offline sets is taken back
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    arguments = ["--offline", verb, "recipe.yaml", *(["--fetch"] if verb == "weights" else [])]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "nobody/nothing is not here" in capsys.readouterr().err
    assert opened == []


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """A hub that has one checkpoint; what is asked of it."""
    for name in hub.OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    asked: list[tuple[str, Any]] = []
    on_the_hub = {
        "config.json": 100,
        "model.safetensors": 2**20,
        "pytorch_model.bin": 2**20,
        "modeling_evil.py": 50,
        "tokenizer.json": 0,
        "onnx/model.onnx": 2**20,
        "1_Pooling/config.json": 50,
        "config_sentence_transformers.json": 50,
    }

    def model_info(_self: Any, name: str, **options: Any) -> Any:
        asked.append((name, options["revision"]))
        siblings = [SimpleNamespace(rfilename=one, size=size) for one, size in on_the_hub.items()]
        return SimpleNamespace(siblings=siblings, card_data={"license": "mit"})

    def snapshot_download(name: str, revision: str | None, cache_dir: Path, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(keep(Path(cache_dir), name, "c1", FILES))

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_the_hub_is_asked_last_and_for_no_code(
    cache: Path, tmp_path: Path, online: list[tuple[str, Any]]
) -> None:
    said: list[str] = []
    assert find("me/bert", tmp_path, said.append).config == BERT
    assert said == ["fetching me/bert: 1 MB, licence mit"]
    pooling, prompts = "1_Pooling/config.json", "config_sentence_transformers.json"
    wanted = ["config.json", "tokenizer.json", pooling, prompts, "model.safetensors"]
    assert online == [("me/bert", None), ("me/bert", wanted)]
    find("me/bert", tmp_path)
    assert len(online) == 2  # the second time it is in the cache


@pytest.mark.parametrize("variable", hub.OFFLINE_VARIABLES)
def test_a_variable_alone_forbids_the_network(
    cache: Path, tmp_path: Path, online: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    named = "--offline" if variable == "SENSORIUM_OFFLINE" else variable
    with pytest.raises(WeightsError, match=rf"the network is not used \({named}\)"):
        find("me/bert", tmp_path)
    assert online == []


def test_what_a_recipe_needs_is_fetched_ahead_and_then_listed(
    here: Path, cache: Path, online: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(here)
    named("me/bert")(here)
    listed("recipe.yaml")
    assert capsys.readouterr().out.splitlines()[1].split() == ["me/bert", "hub", "1.0", "MB", "mit"]
    assert online == [("me/bert", None)]
    listed("recipe.yaml", "--fetch")
    said, _, line = capsys.readouterr().out.splitlines()
    assert said == "fetching me/bert: 1 MB, licence mit"
    assert line.split()[:4] == ["me/bert", "hub", "cache", "0.0"]
    asked = len(online)
    listed("recipe.yaml", "--fetch")
    assert len(online) == asked


@pytest.mark.usefixtures("cache", "online")
def test_no_network(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def unreachable(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    expect(UNREACHABLE, here, capsys)
    where = ask_hub(describe("me/bert", here)).where
    assert where == "not here: the hub cannot be reached (Name or service not known)"


def test_the_digest_follows_weights_and_descriptions(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", FILES)
    first = find("mine", tmp_path)
    assert first.digest == find(str(tmp_path / "mine"), Path("/")).digest
    assert Checkpoint.from_state(first.state()).digest == first.digest
    write_folder(tmp_path / "mine", {"1_Pooling/config.json": {"pooling_mode_cls_token": True}})
    second = find("mine", tmp_path).digest
    other = save({"embeddings.weight": np.zeros((3, 4), np.float32)})
    write_folder(tmp_path / "mine", {"model.safetensors": other})
    assert len({first.digest, second, find("mine", tmp_path).digest}) == 3


def test_a_checksum_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, of "abc"
    assert file_digest(path) == known
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("it was read again"))
    assert file_digest(path) == known
    shutil.copy(path, tmp_path / "other")
    with pytest.raises(pytest.fail.Exception, match="read again"):
        file_digest(tmp_path / "other")


def test_what_is_here_is_listed(cache: Path) -> None:
    page = b"---\nlicense: apache-2.0\n---\n# BERT"
    keep(cache, "me/bert", "c1", {**FILES, "README.md": page})
    keep(cache, "me/half", "c1", {"config.json": BERT})
    listed = {entry.id: entry for entry in weights_here()}
    assert listed["me/bert"][1:] == ("hub cache", len(TENSORS), 12, "float32", "apache-2.0", True)
    assert "me/half" not in listed


def test_a_table_of_what_a_recipe_needs(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    make_folder(here)
    named("mine", FILES)(here)
    listed("recipe.yaml")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "where", "size", "parameters", "dtype", "licence"]
    assert line.split() == ["mine", "folder", "0.0", "MB", "0.0", "M", "float32", "unknown"]
    for weights, where in (
        ("./nowhere", "not here: no such folder"),
        ("all-minilm-l6-v3", f"not here; did you mean {MINILM}?"),
    ):
        named(weights)(here)
        listed("recipe.yaml")
        assert where in capsys.readouterr().out
    named("nobody/nothing")(here)
    listed("recipe.yaml")
    assert capsys.readouterr().out.splitlines()[1].split() == ["nobody/nothing", "not", "here", "unknown"]


def listed(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["weights", *arguments])
    assert end.value.code == 0
