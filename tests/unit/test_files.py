"""Files that are there whole or not at all: places tried, locks, leftovers, full disks, names."""

import contextlib
import os
import pathlib
import stat
import sys

import pytest

from ebm_ppl import _files, _locks
from ebm_ppl._files import new_folder, remove_leftovers, reserve, try_place, write_bytes
from ebm_ppl._locks import alone_in, claim, lock
from ebm_ppl._text import LIMIT, printable

posix = pytest.mark.skipif(os.name == "nt", reason="such systems have neither of these")


@contextlib.contextmanager
def files_of_at_most(size):
    """A disk that has room for no more than so much of each file, as far as this process is concerned."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _leftover(folder, name):
    path = folder / f".{name}.{'0' * 32}.tmp"
    path.write_bytes(b"half")
    return path


def test_a_write_that_finds_no_room_leaves_the_last_good_file_and_names_it(tmp_path):
    path = tmp_path / "model.eqx"
    write_bytes(path, b"old")
    with files_of_at_most(10_000), pytest.raises(OSError, match="File too large") as caught:
        write_bytes(path, bytes(20_000))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    path = tmp_path / "model.eqx"
    write_bytes(path, b"old")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(1) == b"o"
        write_bytes(path, b"new")
        assert reader.read() == b"ld"


def test_a_place_is_tried_with_the_size_that_is_to_come(tmp_path):
    with files_of_at_most(10_000):
        try_place(tmp_path / "a")
        with pytest.raises(OSError, match="File too large"):
            try_place(tmp_path / "a", 20_000)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_reserves_nothing_is_believed(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    with (tmp_path / "a").open("wb") as file:
        reserve(file, 100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "Is a folder"),
        pytest.param(lambda path: os.mkfifo(path), "Is no regular file", marks=posix),
        pytest.param(lambda path: path.symlink_to("/dev/null"), "Is no regular file", marks=posix),
        pytest.param(lambda path: path.symlink_to("no/where"), "No such folder", marks=posix),
        pytest.param(lambda path: path.symlink_to(path.name), "Too many levels", marks=posix),
    ],
)
def test_what_is_no_file_is_not_replaced(tmp_path, make, message):
    path = tmp_path / "out"
    make(path)
    for write in (try_place, lambda path: write_bytes(path, b"new")):
        with pytest.raises(OSError, match=message) as caught:
            write(path)
        found = pathlib.Path(caught.value.filename)
        assert found == (tmp_path / "no" if message == "No such folder" else path)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert not path.is_file()


@posix
def test_a_link_stays_one_and_permissions_stay(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@posix
def test_a_file_of_somebody_else_in_a_folder_for_all_is_found_in_time(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.touch()
    tmp_path.chmod(0o1777)
    try_place(path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="Belongs to somebody else"):
        try_place(path)


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "-", "a b'\"\n", "*[0-9]?", "~"])
def test_any_name_that_a_file_can_have_can_be_written(tmp_path, name):
    path = tmp_path / name
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    with claim(path):
        assert len(list(tmp_path.iterdir())) == 2
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"new"


@posix
@pytest.mark.parametrize("name", ["model.eqx", "a[0-9].ckpt", "a" * 255])
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path, name):
    path, stem = tmp_path / name, _locks.stem(tmp_path / name)
    others = {f".{stem}.tmp", f".{stem}.{'0' * 31}.tmp", f".b{stem}.{'0' * 32}.tmp"[-200:], "other"}
    for other in others:
        (tmp_path / other).touch()
    (tmp_path / f".{stem}.{'f' * 32}.tmp").mkdir()  # of another kind
    dead = _leftover(tmp_path, stem)
    with _files._temporary(path) as (file, living):
        assert not dead.exists()
        file.write(b"half")
        write_bytes(path, b"whole")
        remove_leftovers(path)
        assert living.exists()
    assert not living.exists()
    assert {file.name for file in tmp_path.iterdir()} == {
        *others,
        f".{stem}.{'f' * 32}.tmp",
        name,
    }


@posix
def test_a_file_that_was_taken_for_a_leftover_is_made_anew(tmp_path, monkeypatch):
    """Somebody else looks between the making of a file and its lock."""
    taken = []

    def late(file):
        if not taken:
            taken.append(file.name)
            remove_leftovers(tmp_path / "a")
        return lock(file)

    monkeypatch.setattr(_files, "lock", late)
    write_bytes(tmp_path / "a", b"whole")
    assert not os.path.exists(taken[0])
    assert (tmp_path / "a").read_bytes() == b"whole"


@posix
def test_a_claim_names_its_owner_and_ends_with_it(tmp_path):
    path = tmp_path / "fit.ckpt"
    with claim(path) as is_ours:
        assert is_ours
        with pytest.raises(OSError, match=rf"process {os.getpid()} on .* is writing to it"):
            claim(path).__enter__()
        with claim(tmp_path / "another"):
            pass
    (tmp_path / ".fit.ckpt.lock").write_bytes(b"process 1 on a machine that is gone\n" * 3)
    with claim(path):
        assert (tmp_path / ".fit.ckpt.lock").read_bytes().startswith(b"process %d" % os.getpid())
        assert b"gone" not in (tmp_path / ".fit.ckpt.lock").read_bytes()
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_claim_whose_file_its_last_owner_removes_is_made_anew(tmp_path, monkeypatch):
    name, late = tmp_path / ".a.lock", []

    def removed(file):
        found = lock(file)
        if not late:
            late.append(name)
            name.unlink()
        return found

    monkeypatch.setattr(_locks, "lock", removed)
    with claim(tmp_path / "a"):
        assert name.exists()


def test_without_locks_all_is_written_and_nothing_is_taken_for_a_leftover(tmp_path, monkeypatch):
    monkeypatch.setattr(_locks, "fcntl", None)
    leftover = _leftover(tmp_path, "a")
    write_bytes(tmp_path / "a", b"new")
    with alone_in(tmp_path), claim(tmp_path / "a") as is_ours, claim(tmp_path / "a"):
        assert not is_ours
    with new_folder(tmp_path / "b"):
        pass
    assert {file.name for file in tmp_path.iterdir()} == {"a", "b", leftover.name}


@posix
def test_a_folder_that_a_dead_one_left_goes_and_a_name_that_is_taken_loses_nothing(tmp_path):
    left = tmp_path / f".draws.{'0' * 32}.tmp"
    left.mkdir()
    (left / "x.npy").touch()
    (tmp_path / "draws-2").mkdir()

    def make():
        with new_folder(tmp_path / "draws") as folder:
            assert not left.exists()
            (folder / "x.npy").write_bytes(b"draws")
            (tmp_path / "draws").touch()

    with pytest.warns(UserWarning, match=r"`path` was taken .*; the folder is '.*draws-3'"):
        make()
    assert (tmp_path / "draws-3" / "x.npy").read_bytes() == b"draws"
    assert {file.name for file in tmp_path.iterdir()} == {"draws", "draws-2", "draws-3"}


def test_text_is_one_line_that_a_terminal_can_show():
    """Every character there is, in pieces."""
    for first in range(0, sys.maxunicode + 1, 300):
        text = "".join(map(chr, range(first, min(first + 300, sys.maxunicode + 1))))
        assert printable(text).isprintable()
    assert printable("naïve 中文 π") == "naïve 中文 π"
    hostile = "a\x1b]0;pwn\x07\r\nError: \u202e\u2066\u200b\udcff\x00"
    assert printable(hostile) == r"a\x1b]0;pwn\x07\r\nError: \u202e\u2066\u200b\udcff\x00"


@pytest.mark.parametrize("length", [0, LIMIT, LIMIT + 1, 100_000])
def test_text_is_cut_where_nobody_reads_on(length):
    for filling in "x\x1b":
        text = printable("b" + filling * length + "e")
        assert len(text) <= LIMIT + 50
        assert (text[0], text[-1]) == ("b", "e")
        assert ("characters)" in text) == (len(repr(filling)[1:-1]) * length + 2 > LIMIT)
