import subprocess
from pathlib import Path

import pytest

from stylegan import version
from stylegan.version import code_commit


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "a")
    monkeypatch.setattr(version, "ROOT", tmp_path.resolve())
    return tmp_path


def test_the_commit_and_whether_files_differ_from_it(clone):
    commit = code_commit()
    assert len(commit) == 40
    (clone / "new.txt").write_text("of no concern")
    assert code_commit() == commit
    (clone / "a.py").write_text("2")
    assert code_commit() == f"{commit}+"


def test_outside_of_a_checkout_there_is_none(clone, tmp_path, monkeypatch):
    (clone / "inner").mkdir()
    monkeypatch.setattr(version, "ROOT", clone / "inner")
    assert code_commit() is None, "another project around it is not this one"
    monkeypatch.setattr(version, "ROOT", Path(tmp_path.anchor))
    assert code_commit() is None
    monkeypatch.setattr(version, "ROOT", clone)
    monkeypatch.setenv("PATH", "")
    assert code_commit() is None, "git is not needed"
