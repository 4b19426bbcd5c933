"""How close and how fast is projection? python -m benchmarks.project --model M --data HOLDOUT

Pictures that the generator never saw, and some of its own (the ceiling), in one run: our projector
in w against the paper's at the same distance; ours in w+ against the paper's in w+ at equal time;
the encoder alone, w+, and tuning in dB and seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import stylegan
from stylegan import stamp
from stylegan.data import Pictures
from stylegan.model import Model
from stylegan.projector import ProjectConfig, Projection, picture_of

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Run:
    """One projection: seconds and distance after every step, and what came of it."""

    seconds: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    stage: list[str] = field(default_factory=list)
    psnr: float = 0.0
    picture: np.ndarray | None = None

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.seconds[-1]

    def when(self, distance: float) -> float | None:
        """Seconds until it was as close as this."""
        reached = (s for s, d in zip(self.seconds, self.distance, strict=True) if d <= distance)
        return next(reached, None)


def timed(
    model: Model, picture: Tensor, clock: Callable[[], float], most: int | None = None, **settings
) -> Run:
    """Project to the end, or for `most` steps."""
    run, began = Run(), clock()
    projection = Projection(model, picture, ProjectConfig(every=10**5, **settings))
    for step in projection.run():
        run.seconds.append(clock() - began)
        run.distance.append(step.distance)
        run.stage.append(step.stage)
        if most is not None and step.step >= most:
            break
    result = projection.result()
    run.psnr, run.picture = result.psnr, result.picture
    return run


def measure(model: Model, picture: Tensor, clock: Callable[[], float], paper_steps: int) -> dict:
    """All that is asked about one picture."""
    goal = picture_of(picture)
    first = timed(model, picture, clock, most=0)
    paper = timed(model, picture, clock, space="w", method="paper", steps=paper_steps)
    ours = timed(model, picture, clock, space="w")
    plus = timed(model, picture, clock)
    steps = max(1, round(plus.total / paper.total * paper_steps))
    paper_plus = timed(model, picture, clock, method="paper", steps=steps)
    tuned = timed(model, picture, clock, tune=True)
    final = min(paper.distance)
    shown = [goal, first.picture, paper.picture, ours.picture, plus.picture, tuned.picture]
    return {
        "first_sec": first.total,
        "first_psnr": first.psnr,
        "w_distance": min(ours.distance),
        "w_paper_distance": final,
        "w_paper_sec": paper.total,
        "w_sec": ours.total,
        "w_sec_to_paper": ours.when(final),
        "w_psnr": ours.psnr,
        "w_paper_psnr": paper.psnr,
        "wplus_sec": plus.total,
        "wplus_psnr": plus.psnr,
        "wplus_paper_psnr": paper_plus.psnr,
        "tune_sec": tuned.total,
        "tune_psnr": tuned.psnr,
        "shown": shown,
    }


def targets(model: Model, data: str, count: int) -> dict[str, Tensor]:
    """Held-out pictures and the generator's own, [N, C, R, R] in [-1, 1]."""
    pictures = Pictures(data)
    places = np.linspace(0, len(pictures) - 1, count).round().astype(int)
    own = model.render_many(stylegan.Recipe(seed=1000, n=count, psi=0.7))
    own = torch.from_numpy(np.stack(own)).permute(0, 3, 1, 2)
    return {
        "held out": pictures.images(places.tolist()).float() / 127.5 - 1,
        "its own": own.float() / 127.5 - 1,
    }


def told(row: dict) -> str:
    """One picture's numbers, for those who wait."""
    numbers = ((k, v) for k, v in row.items() if isinstance(v, float))
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers)


def summary(rows: list[dict]) -> dict[str, float | None]:
    """Means over the pictures; of the time to the paper's distance, where it was reached."""
    names = [name for name in rows[0] if name not in ("shown", "w_sec_to_paper")]
    out: dict[str, float | None] = {n: float(np.mean([row[n] for row in rows])) for n in names}
    found = [row for row in rows if row["w_sec_to_paper"] is not None]
    shares = [row["w_sec_to_paper"] / row["w_paper_sec"] for row in found]
    out["w_reached"] = len(found) / len(rows)
    out["w_share_of_paper_sec"] = float(np.mean(shares)) if shares else None
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="pictures set aside before training")
    parser.add_argument("--count", type=int, default=8, help="pictures of each kind")
    parser.add_argument("--paper-steps", type=int, default=1000)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu on a busy machine")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--out", type=Path, help="a .png that shows all results")
    args = parser.parse_args()
    model = stylegan.load(args.model, args.device)
    clock, sheet, result = CLOCKS[args.clock], [], {}
    threads = torch.get_num_threads()
    print(f"{model.id}, {model.device}, {threads} threads, {args.clock} seconds, means")
    for kind, pictures in targets(model, args.data, args.count).items():
        rows = []
        for i, picture in enumerate(pictures):
            rows.append(measure(model, picture[None].to(model.device), clock, args.paper_steps))
            print(f"  {kind} {i}: {told(rows[-1])}", flush=True)
        sheet += [picture for row in rows for picture in row["shown"]]
        s = result[kind] = summary(rows)
        share = s["w_share_of_paper_sec"]
        reached = "never" if share is None else f"in {share:.0%} of its time"
        print(f"{kind} ({args.count} pictures)")
        print(f"  first picture  {s['first_psnr']:5.1f} dB  {s['first_sec']:6.2f} s")
        print(
            f"  w              {s['w_psnr']:5.1f} dB  {s['w_sec']:6.2f} s  distance "
            f"{s['w_distance']:.4f}"
        )
        print(
            f"  w, paper       {s['w_paper_psnr']:5.1f} dB  {s['w_paper_sec']:6.2f} s  distance "
            f"{s['w_paper_distance']:.4f}, reached by ours for {s['w_reached']:.0%} {reached}"
        )
        print(f"  w+             {s['wplus_psnr']:5.1f} dB  {s['wplus_sec']:6.2f} s")
        print(f"  w+, paper      {s['wplus_paper_psnr']:5.1f} dB  in the same time")
        print(f"  w+ and tuning  {s['tune_psnr']:5.1f} dB  {s['tune_sec']:6.2f} s")
    if args.out:
        shown = stamp.enlarge(stamp.grid(sheet, 6), 2)
        Image.fromarray(shown[:, :, 0] if shown.shape[2] == 1 else shown).save(args.out)
    keep = {"benchmark": "project", "model": model.id, "clock": args.clock, "threads": threads}
    print(json.dumps(keep | {"count": args.count, "paper_steps": args.paper_steps} | result))


if __name__ == "__main__":
    main()
