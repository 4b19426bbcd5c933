"""The dispatcher of python -m train; what the commands do is tested with their modules."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

from stylegan.config import UserError
from train.__main__ import COMMANDS, main


def command(monkeypatch, run) -> None:
    monkeypatch.setitem(COMMANDS, "fake", ("train.fake", "for this test"))
    monkeypatch.setitem(sys.modules, "train.fake", SimpleNamespace(main=run))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name, capsys):
    run = importlib.import_module(COMMANDS[name][0]).main
    with pytest.raises(SystemExit) as stop:
        run(["--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.count("python -m train " + name) >= 2


@pytest.mark.parametrize("argv, code", [(["--help"], 0), (["-h"], 0), (["help"], 0), ([], 2)])
def test_help_opens_with_two_commands_to_paste(argv, code, capsys):
    assert main(argv) == code
    lines = capsys.readouterr().out.splitlines()
    assert all(line.strip().startswith("python -m train ") for line in lines[:2])
    assert all(any(line.strip().startswith(name) for line in lines) for name in COMMANDS)


@pytest.mark.parametrize("name, hint", [("prepair", "did you mean prepare?"), ("xyz", "there are")])
def test_unknown_command(name, hint, capsys):
    assert main([name]) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert said.count("\n") == 1


def test_arguments_and_exit_code_pass_through(monkeypatch):
    command(monkeypatch, lambda argv: 75 if argv == ["a", "--b", "c"] else 1)
    assert main(["fake", "a", "--b", "c"]) == 75


@pytest.mark.parametrize(
    "error, code, said",
    [
        (UserError("the sky is green"), 2, "train: the sky is green"),
        (OSError(28, "No space left on device"), 1, "train: No space left on device"),
        (PermissionError(13, "Permission denied", "x"), 1, "train: Permission denied (x)"),
        (OSError("the server hung up"), 1, "train: the server hung up"),
        (KeyboardInterrupt(), 130, "train: stopped"),
    ],
)
def test_errors_are_one_sentence(monkeypatch, capsys, error, code, said):
    def run(argv):
        raise error

    command(monkeypatch, run)
    assert main(["fake"]) == code
    assert capsys.readouterr().err == said + "\n"


def test_a_bug_is_not_hidden(monkeypatch):
    command(monkeypatch, lambda argv: [][0])
    with pytest.raises(IndexError):
        main(["fake"])


def test_one_command_loads_no_other():
    code = (
        "import sys, train.__main__ as t; t.main(['prepare', 'none', 'x.zip']);"
        "assert 'train.prepare' in sys.modules;"
        "assert not {'train.fit', 'train.evaluate', 'stylegan.training'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
