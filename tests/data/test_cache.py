import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data import cache as module
from sensorium.data.cache import Cache
from sensorium.data.column import Array
from sensorium.data.segment import Line


def picture(seed: int, size: int = 16) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (3, size, size), dtype=np.uint8)


def sound(seed: int) -> Array:
    return np.random.default_rng(seed).integers(-32768, 32768, 501).astype(np.int16)


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks up what others have added at every miss."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)


def data_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.data"))


def index_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.index"))


def filled(folder: Path, count: int = 5) -> None:
    cache = Cache(folder)
    for seed in range(count):
        cache.put(f"digest {seed}", "key", picture(seed), 1000)
    cache.close()


def test_gives_back_what_was_put(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "deep" / "folder")
    for seed in range(5):
        assert cache.get(f"{seed}", "image") is None
        cache.put(f"{seed}", "image", picture(seed), 1000)
        cache.put(f"{seed}", "audio", sound(seed), 1000)
    for current in (cache, Cache(tmp_path / "deep" / "folder")):
        for seed in range(5):
            for key, expected in (("image", picture(seed)), ("audio", sound(seed))):
                found = current.get(f"{seed}", key)
                assert found is not None
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
                assert (found == expected).all()
                assert not found.flags.writeable
        assert current.get("0", "video") is None
        assert current.get("9", "image") is None
        assert current.notes == []


def test_many_at_once_are_what_each_alone_is(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), Cache(tmp_path)
    for seed in range(40):
        (one if seed % 3 else other).put(f"{seed}", "image", picture(seed), 1000)
    wanted = ["absent", *(f"{seed}" for seed in reversed(range(40))), "7"]
    for current in (one, Cache(tmp_path)):
        found = list(current.get_many(wanted, "image"))
        assert sorted(position for position, _ in found) == list(range(1, 42))
        for position, array in found:
            assert (array == picture(int(wanted[position]))).all()
            assert not array.flags.writeable
        assert not list(current.get_many(wanted, "audio"))


def test_many_at_once_are_read_forwards_from_files_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 20)
    cache, opened, open_file = Cache(tmp_path), [], os.open
    cache._refreshed = float("inf")  # looks for nothing new, which opens files too
    monkeypatch.setattr(os, "open", lambda path, flags: opened.append(path) or open_file(path, flags))
    found = [position for position, _ in cache.get_many([f"digest {19 - seed}" for seed in range(20)], "key")]
    assert found == list(reversed(range(20)))  # as they were put
    assert sorted(opened) == sorted([*data_files(tmp_path), *index_files(tmp_path)])


def test_many_at_once_leave_out_what_is_damaged_and_take_it_from_elsewhere(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), Cache(tmp_path)
    for cache in (one, other):
        cache.put("twice", "key", picture(1), 1)
    one.put("once", "key", picture(2), 1)
    reader = Cache(tmp_path)
    (damaged,) = (path for path in data_files(tmp_path) if path.stat().st_size == 2 * 768)
    damaged.write_bytes(bytes(2 * 768))
    ((position, array),) = reader.get_many(["once", "twice"], "key")
    assert position == 1
    assert (array == picture(1)).all()
    assert "damaged" in reader.notes[0]


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    turned = picture(1).transpose(1, 2, 0)[::2]
    cache.put("a", "k", turned, 1)
    found = cache.get("a", "k")
    assert found is not None
    assert (found == turned).all()


def test_other_types_are_a_mistake_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float32"):
        Cache(tmp_path).put("a", "k", np.zeros(3, np.float32), 1)
    with pytest.raises(ValueError, match="object"):
        Cache(tmp_path).put("a", "k", np.array([None]), 1)


def test_totals(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("a", "image", picture(0), 100)  # 3 · 16 · 16 = 768 bytes
    cache.put("a", "audio", sound(0), 100)  # 501 · 2 = 1002 bytes, of the same source
    cache.put("b", "image", picture(1), 50)
    cache.put("b", "image", picture(1), 50)  # kept already
    for current in (cache, Cache(tmp_path)):
        assert (current.cached_bytes, current.source_bytes) == (768 + 1002 + 768, 150)
    assert len(data_files(tmp_path)) == 1


def test_an_unused_cache_writes_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get("a", "k") is None
    cache.flush()
    cache.close()
    assert not (tmp_path / "cache").exists()


def test_arrays_outlive_the_cache(tmp_path: Path) -> None:
    filled(tmp_path)
    cache = Cache(tmp_path)
    found = cache.get("digest 3", "key")
    cache.close()
    del cache
    assert found is not None
    assert (found == picture(3)).all()


def test_putting_after_closing_starts_another_segment(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("a", "k", picture(1), 1)
    cache.close()
    cache.put("b", "k", picture(2), 1)
    assert len(data_files(tmp_path)) == 2
    assert Cache(tmp_path).get("b", "k") is not None


def test_one_cache_sees_what_another_adds(tmp_path: Path) -> None:
    one, other = Cache(tmp_path), Cache(tmp_path)
    for seed in range(3):
        one.put(f"one {seed}", "k", picture(seed), 1)
        other.put(f"other {seed}", "k", picture(seed), 1)
        assert other.get(f"one {seed}", "k") is not None
        assert one.get(f"other {seed}", "k") is not None
    assert len(data_files(tmp_path)) == 2
    assert one.cached_bytes == other.cached_bytes == 6 * 768


def test_lookups_of_other_processes_are_not_made_at_every_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 1e9)
    one, other = Cache(tmp_path), Cache(tmp_path)
    one.put("a", "k", picture(0), 1)
    assert other.get("a", "k") is None


def test_threads(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def use(seed: int) -> bool:
        name = str(seed % 40)
        found = cache.get(name, "k")
        if found is None:
            cache.put(name, "k", picture(seed % 40), 1)
            found = cache.get(name, "k")
        return found is not None and bool((found == picture(seed % 40)).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(400)))
    assert cache.cached_bytes == 40 * 768
    assert cache.notes == []


def _fill(folder: Path, start: int) -> None:
    cache = Cache(folder)
    for seed in range(start, start + 30):
        if cache.get(str(seed), "k") is None:
            cache.put(str(seed), "k", picture(seed), 1)
    cache.close()


def test_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(tmp_path, start)) for start in (0, 15)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    cache = Cache(tmp_path)
    for seed in range(45):
        found = cache.get(str(seed), "k")
        assert found is not None
        assert (found == picture(seed)).all()
    assert len(data_files(tmp_path)) == 2


def test_a_forked_child_writes_its_own_segment(tmp_path: Path) -> None:
    program = f"""
        import os
        import numpy as np
        from pathlib import Path
        from sensorium.data.cache import Cache
        cache = Cache(Path({str(tmp_path)!r}))
        cache.put("before", "k", np.full(100, 1, np.uint8), 1)
        child = os.fork()
        name = "parent" if child else "child"
        cache.put(name, "k", np.full(100, 2 if child else 3, np.uint8), 1)
        cache.put(name + " again", "k", np.full(100, 4, np.uint8), 1)
        if child:
            raise SystemExit(os.waitpid(child, 0)[1])
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, cwd=Path(module.__file__).parents[2]
    )
    cache = Cache(tmp_path)
    for name, value in (("before", 1), ("parent", 2), ("child", 3), ("parent again", 4), ("child again", 4)):
        found = cache.get(name, "k")
        assert found is not None
        assert (found == value).all()
    assert len(data_files(tmp_path)) == 2


def test_a_process_killed_while_writing_leaves_a_cache_that_can_be_used(tmp_path: Path) -> None:
    program = f"""
        import numpy as np
        from pathlib import Path
        from sensorium.data.cache import Cache
        cache = Cache(Path({str(tmp_path)!r}))
        for seed in range(10**9):
            cache.put(str(seed), "k", np.full(3000, seed % 251, np.uint8), 1)
            if seed == 50:
                print("running", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(module.__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGKILL)
    cache = Cache(tmp_path)
    count = 0
    while (found := cache.get(str(count), "k")) is not None:
        assert (found == count % 251).all()
        count += 1
    assert count > 50
    assert cache.notes == []
    cache.put("after", "k", picture(1), 1)
    assert Cache(tmp_path).get("after", "k") is not None


@given(cut=st.floats(0, 1), data_cut=st.floats(0, 1))
def test_files_cut_anywhere_give_whole_arrays_or_none(
    tmp_path_factory: pytest.TempPathFactory, cut: float, data_cut: float
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    filled(folder)
    for (path,), kept in ((index_files(folder), cut), (data_files(folder), data_cut)):
        os.truncate(path, int(path.stat().st_size * kept))
    cache = Cache(folder)
    for seed in range(5):
        found = cache.get(f"digest {seed}", "key")
        assert found is None or (found == picture(seed)).all()
        cache.put(f"digest {seed}", "key", picture(seed), 1000)
    again = Cache(folder)
    assert all(again.get(f"digest {seed}", "key") is not None for seed in range(5))


@given(
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20),
    of_index=st.booleans(),
)
def test_changed_bytes_give_the_right_array_or_none(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], of_index: bool
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    filled(folder)
    (path,) = index_files(folder) if of_index else data_files(folder)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    cache = Cache(folder)
    for seed in range(5):
        found = cache.get(f"digest {seed}", "key")
        assert found is None or (found == picture(seed)).all()


def test_a_damaged_array_is_replaced_and_said_once(tmp_path: Path) -> None:
    filled(tmp_path)
    (path,) = data_files(tmp_path)
    path.write_bytes(bytes(path.stat().st_size))
    cache = Cache(tmp_path)
    for seed in range(5):
        assert cache.get(f"digest {seed}", "key") is None
        cache.put(f"digest {seed}", "key", picture(seed), 1000)
    assert cache.notes == [f"some of what is cached in {tmp_path} is damaged and is made again"]
    for _ in range(2):  # the damaged segment is still there, and is passed over
        again = Cache(tmp_path)
        for seed in range(5):
            found = again.get(f"digest {seed}", "key")
            assert found is not None
            assert (found == picture(seed)).all()


def test_a_data_file_that_is_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    data_files(tmp_path)[0].unlink()
    assert Cache(tmp_path).get("digest 0", "key") is None


def test_a_line_half_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (path,) = index_files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    cache = Cache(tmp_path)
    assert cache.get("digest 0", "key") is not None
    assert cache.get("digest 1", "key") is None
    path.write_bytes(whole)
    assert cache.get("digest 1", "key") is not None


def test_strange_files_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "words.index").write_bytes(b"words\n\n\xff\xfe\n" + b"a" * 1000)
    (tmp_path / "folder.index").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    cache = Cache(tmp_path)
    assert cache.get("digest 0", "key") is not None
    assert cache.notes == []


def test_a_line_of_another_version_is_passed_over() -> None:
    line = Line("s", "a", "k", "uint8", (2, 3), 64, 5, 7)
    assert line.size == 6
    assert Line.decode("s", line.encode()) == line
    assert Line.decode("s", line._replace(dtype="float8").encode()) is None
    assert Line.decode("s", line.encode().replace(b"64", b"65")) is None


@given(st.text(), st.text(), st.lists(st.integers(0, 9), max_size=4), st.integers(0, 10**12))
def test_any_line_comes_back(digest: str, key: str, shape: list[int], offset: int) -> None:
    line = Line("s", digest, key, "int16", tuple(shape), offset, 1, 2)
    assert Line.decode("s", line.encode()) == line
    assert line.encode().count(b"\n") == 1


def test_a_folder_that_cannot_be_written_is_said_once_and_does_not_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache")
    for seed in range(3):
        cache.put(str(seed), "k", picture(seed), 1)
        assert cache.get(str(seed), "k") is None
    cache.flush()
    cache.close()
    assert len(cache.notes) == 1
    assert cache.notes[0].startswith(
        f"nothing more is cached in {tmp_path / 'file' / 'cache'}: Not a directory"
    )
    assert "another folder" in cache.notes[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_still_read(tmp_path: Path) -> None:
    filled(tmp_path)
    tmp_path.chmod(0o500)
    cache = Cache(tmp_path)
    assert cache.get("digest 0", "key") is not None
    cache.put("new", "k", picture(9), 1)
    tmp_path.chmod(0o700)
    assert len(cache.notes) == 1


def test_a_full_disk_ends_writing_but_not_reading(tmp_path: Path) -> None:
    # No file may grow over 20,000 bytes: the system then refuses to write, as on a full disk.
    program = f"""
        import numpy as np
        import resource
        from pathlib import Path
        from sensorium.data.cache import Cache
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        cache = Cache(Path({str(tmp_path)!r}))
        for seed in range(10):
            cache.put(str(seed), "k", np.full(3000, seed, np.uint8), 1)
        cache.close()
        found = [cache.get(str(seed), "k") for seed in range(10)]
        assert [array is not None for array in found] == [True] * 6 + [False] * 4
        assert all((array == seed).all() for seed, array in enumerate(found[:6]))
        assert len(cache.notes) == 1 and "File too large" in cache.notes[0], cache.notes
    """
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, cwd=Path(module.__file__).parents[2]
    )
    cache = Cache(tmp_path)
    assert [cache.get(str(seed), "k") is not None for seed in range(10)] == [True] * 6 + [False] * 4
    assert cache.notes == []


def test_features_are_kept_as_the_bits_of_bfloat16(tmp_path: Path) -> None:
    features = np.random.default_rng(0).integers(0, 2**16, (7, 384)).astype(np.uint16)
    cache = Cache(tmp_path)
    cache.put("a", "text", features, 9)
    cache.put("a", "image", picture(1), 9)
    for current in (cache, Cache(tmp_path)):
        found = current.get("a", "text")
        assert found is not None
        assert (found.dtype, found.shape) == (np.uint16, (7, 384))
        assert (found == features).all()
        assert (current.get("a", "image") == picture(1)).all()
    assert '"bfloat16"' in index_files(tmp_path)[0].read_text()


def test_a_folder_without_features_is_read_beside_one_with_a_later_type(tmp_path: Path) -> None:
    filled(tmp_path)
    line = Line(index_files(tmp_path)[0].stem, "later", "k", "float8", (3,), 0, 0, 1)
    with index_files(tmp_path)[0].open("ab") as file:
        file.write(line.encode())
    cache = Cache(tmp_path)
    assert cache.get("later", "k") is None
    assert (cache.get("digest 4", "key") == picture(4)).all()
