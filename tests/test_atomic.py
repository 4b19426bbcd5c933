import errno
import os
import signal
import subprocess
import sys

import pytest

from stylegan import atomic
from stylegan.atomic import replacing_file, replacing_folder


def full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tree(folder):
    return {str(p.relative_to(folder)): p.is_file() and p.read_text() for p in folder.rglob("*")}


@pytest.fixture
def old(tmp_path):
    """A file and a folder of yesterday."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/a").write_text("old")
    return tmp_path


def test_a_file_appears_whole_with_its_folder(tmp_path):
    with replacing_file(tmp_path / "a/b/file") as beside:
        beside.write_text("new")
        assert not (tmp_path / "a/b/file").exists() and beside.parent == tmp_path / "a/b"
    assert tree(tmp_path / "a/b") == {"file": "new"}


def test_new_takes_the_place_of_old(old):
    with replacing_file(str(old / "file")) as beside:
        beside.write_text("new")
        assert (old / "file").read_text() == "old"
    with replacing_folder(str(old / "folder")) as beside:
        (beside / "b").write_text("new")
        assert (old / "folder/sub/a").read_text() == "old"
    assert tree(old) == {"file": "new", "folder": False, "folder/b": "new"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old(old, error):
    before = tree(old)
    with pytest.raises(error), replacing_file(old / "file") as beside:
        beside.write_text("half")
        raise error
    with pytest.raises(error), replacing_folder(old / "folder") as beside:
        (beside / "b").write_text("half")
        raise error
    assert tree(old) == before


def test_a_block_that_writes_nothing_is_a_failure(old):
    with pytest.raises(FileNotFoundError), replacing_file(old / "file"):
        pass
    assert (old / "file").read_text() == "old"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_disk_full_leaves_the_old_and_nothing_else(old, monkeypatch, step):
    before = tree(old)
    if step != "write":
        monkeypatch.setattr(atomic.os, step, full)
    with pytest.raises(OSError, match="No space left"), replacing_file(old / "file") as beside:
        beside.write_text("half")
        if step == "write":
            full()
    with pytest.raises(OSError, match="No space left"), replacing_folder(old / "folder") as beside:
        (beside / "b").write_text("half")
        if step == "write":
            full()
    monkeypatch.undo()
    assert tree(old) == before


def test_a_failure_between_the_two_renames_of_a_folder(old, monkeypatch):
    before, replace, calls = tree(old), os.replace, []

    def second_fails(*args):
        calls.append(args)
        full() if len(calls) == 2 else replace(*args)

    monkeypatch.setattr(atomic.os, "replace", second_fails)
    with pytest.raises(OSError, match="No space left"), replacing_folder(old / "folder") as beside:
        (beside / "b").write_text("new")
    assert tree(old) == before


def test_everything_is_synced_before_the_rename(old, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        atomic.os,
        "fsync",
        lambda fd: (order.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))), fsync(fd)),
    )
    monkeypatch.setattr(
        atomic.os, "replace", lambda *args: (order.append("rename"), replace(*args))
    )
    with replacing_folder(old / "folder") as beside:
        (beside / "b").write_text("new")
    assert order == ["b", beside.name, "rename", "rename", old.name]


def test_a_killed_writer_leaves_the_old(old):
    code = (
        "import sys, time\n"
        "from stylegan.atomic import replacing_folder\n"
        "with replacing_folder(sys.argv[1]) as beside:\n"
        "    (beside / 'b').write_text('half')\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = os.path.dirname(os.path.dirname(atomic.__file__))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(old / "folder")],
        stdout=subprocess.PIPE,
        cwd=root,
    ) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert tree(old / "folder") == {"sub": False, "sub/a": "old"}


def test_what_killed_writers_left_is_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [tmp_path / f".a.{pid}.tmp" for pid in (dead.pid, os.getppid())]
    recent, other = tmp_path / f".a.{2**22 + 1}.tmp", tmp_path / f".b.{dead.pid}.tmp"
    for path in (*left, recent, other):
        path.write_text("half")
    for path in (*left, other):
        os.utime(path, (0, 0))
    with replacing_file(tmp_path / "a") as beside:
        beside.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a",
        left[1].name,
        recent.name,
        other.name,
    }
