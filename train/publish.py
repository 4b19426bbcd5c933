"""A model on the Hub: its card, one commit, a tag, fetched back; and a Space that plays with it."""

from __future__ import annotations

import dataclasses
import getpass
import os
import sys

import tyro

from stylegan.card import Answers
from stylegan.publish import publish
from stylegan.release import PublishConfig, answers_file, given, model_folder, save_answers

HELP = """python -m train publish runs/portraits64-tiny ann/portraits-64

python -m train publish runs/portraits64-tiny ann/portraits-64 --public --space ann/portraits-64

Log in once with `hf auth login`, or set HF_TOKEN. A new repository is private unless --public is
given. The card is written from the run's own numbers; the licence and what the model is for are
asked for once, in a terminal, or given by flags. For the Space of a private model set
STYLEGAN_SPACE_TOKEN to a token that may read it, which becomes the Space's secret."""

QUESTIONS = {  # what a person must decide -> how it is asked for
    "license": "Licence of the model, as the Hub names it (apache-2.0, cc-by-4.0, other ...)",
    "intended_use": "What the model is meant for, and what not",
    "data_source": "Where the pictures come from, and who made them",
    "data_license": "Under what licence the pictures are",
}
SPACE_TOKEN = "STYLEGAN_SPACE_TOKEN"


def main(argv: list[str]) -> int:
    """Parse, ask, publish, say where it is."""
    config = tyro.cli(
        PublishConfig,
        args=argv,
        prog="python -m train publish",
        description=HELP,
        config=(
            tyro.conf.PositionalRequiredArgs,
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.OmitArgPrefixes,
        ),
    )
    model_folder(config.source)
    config = dataclasses.replace(config, answers=answers(config))
    done = publish(config, say, space_token(config))
    if done is None:
        return 0
    print(f"published: {done.url}")
    print(f'load it:   stylegan.load("{done.id}")')
    if done.space:
        print(f"play:      {done.space_url}")
    return 0


def say(text: str) -> None:
    """A line on the way."""
    print(text, flush=True)


def answers(config: PublishConfig) -> Answers:
    """What the person said by flags, now, or once before; kept beside the run or model."""
    found = given(config)
    asked = answers_file(config.source).exists() or not sys.stdin.isatty()
    if not asked:
        print("For the card; an empty line leaves it out.")
        told = {
            name: getattr(found, name) or input(f"{question}: ").strip()
            for name, question in QUESTIONS.items()
        }
        found = dataclasses.replace(found, **told)
    if not asked or config.answers != Answers():
        save_answers(config.source, found)
    return found


def space_token(config: PublishConfig) -> str:
    """The token that the Space of a private model fetches it with."""
    token = os.environ.get(SPACE_TOKEN, "")
    if token or not config.space or config.public or not sys.stdin.isatty():
        return token
    return getpass.getpass(
        "A token that may read the model, for the Space (empty: you put it there later): "
    ).strip()
