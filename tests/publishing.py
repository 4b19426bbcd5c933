"""What tests of publishing share: a trained run, and a call that tells what was said."""

from __future__ import annotations

import shutil

import pytest
import yaml
from training_data import tiny, write_pictures

from stylegan.card import Answers
from stylegan.publish import publish
from stylegan.release import PublishConfig
from stylegan.training.loop import fit

ANSWERS = Answers("cc0-1.0", "Tests, and nothing else.", "drawn by a program", "cc0-1.0")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of two snapshots with a measurement, and its pictures."""
    place = tmp_path_factory.mktemp("trained")
    data = write_pictures(place / "discs.zip", n=12)
    config = tiny(data, kimg=0.04, snap=2, metrics="swd", mirror=True)
    fit(config, place / "run", say=lambda text: None)
    return place / "run"


@pytest.fixture
def trained_run(trained, tmp_path):
    """A copy of that run."""
    shutil.copytree(trained, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def call(source, repo="ann/discs", **changes):
    """Publish; what was said on the way, and what came of it."""
    told = []
    done = publish(PublishConfig(source, repo, **changes), told.append)
    return "\n".join(told), done


def card(files):
    """The metadata and the text of a README.md."""
    _, head, text = files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), text
