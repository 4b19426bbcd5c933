"""Train a model's encoder; started again with the same line, it goes on where it stopped."""

from __future__ import annotations

import tyro

from stylegan.training.encoder_loop import EncoderTrainConfig, fit_encoder

HELP = """python -m train encoder --model checkpoints/portraits-64 --minutes 60

python -m train encoder --model runs/photos64-tiny/best --data data/photos64.zip --kimg 200

It learns from the model's own pictures, and real ones if given, and is written into the model
folder. Ctrl-C saves it; the same line goes on from there."""


def main(argv: list[str]) -> int:
    """Parse, train; 0 when the budget is used up, 75 when stopped."""
    config = tyro.cli(
        EncoderTrainConfig, args=argv, prog="python -m train encoder", description=HELP
    )
    return fit_encoder(config).value
