"""Two processes that train as one: the same steps, stopped together, and one that dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from test_loop import assert_same_run, final_state, lines
from test_step import weights
from training_data import NETWORK, TINY, tiny, write_pictures

from stylegan.config import RunError, UserError
from stylegan.data import Pictures, batches
from stylegan.distributed import ALONE, Group, PeerLost, Watch, joined, world
from stylegan.training.loop import fit
from stylegan.training.step import Chance, Trainer
from train.__main__ import main

HERE = Path(__file__).parent
FLAGS = [
    *("--preset", "tiny", "--batch", "8", "--tick-kimg", "0.024", "--device", "cpu"),
    *("--precision", "float32", "--network.channel-base", "64", "--network.channel-max", "8"),
    *("--network.z-dim", "8", "--network.w-dim", "8", "--metrics", "", "--snap", "2"),
    *("--g-reg-interval", "2", "--d-reg-interval", "3", "--ada-interval", "2", "--kimg", "0.24"),
]
RUNNER = """
import os, signal, sys
from stylegan.training import loop
from train.__main__ import main
rank, life = int(os.environ["RANK"]), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", -1))
steps, step = 0, loop.Trainer.step

def disturbed(*args):
    global steps
    steps += 1
    if (rank, life, steps) == (1, 0, 14):
        os.kill(os.getpid(), signal.SIGKILL)
    if (rank, life, steps) == (1, 1, 9):
        os.kill(os.getpid(), signal.SIGTERM)
    step(*args)

loop.Trainer.step = disturbed
loop.SAVE_MINUTES = 0
code = main(["fit", *sys.argv[1:]])
print(f"rank {rank} of life {life} ends with {code}", flush=True)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "discs.zip")


# Two threads in place of two processes


class Meeting:
    """What processes would do by gloo."""

    def __init__(self, size):
        self.barrier, self.tensors = threading.Barrier(size, timeout=60), {}


@dataclasses.dataclass(frozen=True)
class Thread(Group):
    meeting: Meeting = None

    def sum_(self, tensor):
        self.meeting.tensors[self.rank] = tensor
        self.meeting.barrier.wait()
        total = sum(self.meeting.tensors[i].clone() for i in range(self.size))
        self.meeting.barrier.wait()
        return tensor.copy_(total)


def trained(config, pictures, size, steps=4):
    """Trainers of this many threads after some steps."""
    meeting = Meeting(size)
    groups = [Thread(i, size, None, meeting) if size > 1 else ALONE for i in range(size)]
    trainers = [Trainer(config, "cpu", group) for group in groups]

    def work(trainer):
        rows = trainer.share.numpy()
        reals = batches(pictures, config.seed, 0, config.batch, rows=rows)
        for k in range(steps):
            nimg = k * config.batch
            trainer.step(*next(reals), nimg, Chance(config, pictures, nimg, trainer.device))
        reals.close()
        trainer.settle()

    threads = [threading.Thread(target=work, args=[trainer]) for trainer in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return trainers


CASES = {
    "plain": ({}, 2),
    "in micro-batches": ({"micro_batch": 2}, 2),
    "with classes": ({"network": dataclasses.replace(NETWORK, c_dim=3)}, 2),
    "four, two of them without path lengths": ({"pl_batch_shrink": 4}, 4),
}


@pytest.mark.parametrize("case", CASES)
def test_shared_steps_are_the_same_steps(tmp_path, case):
    changes, size = CASES[case]
    config = dataclasses.replace(TINY, batch=8, ada_kimg=1.0, **changes)
    labels = [i % 3 for i in range(12)] if config.network.c_dim else None
    pictures = Pictures(write_pictures(tmp_path / "discs.zip", labels=labels))
    (alone,) = trained(config, pictures, 1)
    many = trained(config, pictures, size)
    for other in many[1:]:
        assert torch.equal(weights(other), weights(many[0]))
        assert (other.p, other.pl_mean) == (many[0].p, many[0].pl_mean)
    assert torch.allclose(weights(alone), weights(many[0]), atol=3e-4)
    assert many[0].p == alone.p != config.p
    assert many[0].pl_mean.item() == pytest.approx(alone.pl_mean.item(), rel=1e-4)
    ours, theirs = many[0].tally.finish(), alone.tally.finish()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name]["num"] == value["num"]
        assert ours[name]["mean"] == pytest.approx(value["mean"], rel=1e-3, abs=1e-3)


def test_shares_keep_groups_whole():
    config = dataclasses.replace(TINY, batch=8)
    shares = [Trainer(config, "cpu", Group(i, 2)).share.tolist() for i in range(2)]
    assert shares == [[0, 1, 4, 5], [2, 3, 6, 7]]  # pictures i and i + 4 are a group


# One process


def test_one_process_is_a_group_of_one(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined(torch.device("cpu")) as (group, device):
        assert group is ALONE and group.is_first and device.type == "cpu"
        assert group.any(True, False) == [True, False]
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UserError, match="no whole numbers"):
        world()


def test_processes_that_cannot_meet(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="cannot meet"), joined(torch.device("cpu")):
        pass


def test_what_fails_in_the_first_fails_in_all():
    class Failed(Group):
        def any(self, *flags):
            return [True]

    with pytest.raises(RunError, match="first process"):
        Failed(1, 2).first(lambda: None)
    with pytest.raises(UserError, match="locked"):
        ALONE.first(lambda: (_ for _ in ()).throw(UserError("locked")))


def test_a_batch_that_cannot_be_shared(data, tmp_path, monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("stylegan.training.loop.joined", lambda device: _pretended(device))
    with pytest.raises(UserError, match="mbstd groups of 2 cannot be shared equally by 3"):
        fit(tiny(data, kimg=0.02), tmp_path / "run", say=lambda line: None)


class _pretended:
    def __init__(self, device):
        self.device = device

    def __enter__(self):
        return Group(0, 3), self.device

    def __exit__(self, *error):
        return None


def test_the_others_of_a_process_that_died_end_with_75(data, tmp_path, monkeypatch, capsys):
    class Left(Exception):
        pass

    def leave(code):
        raise Left(code)

    def lost(*args):
        raise PeerLost("another process of this run has ended")

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(Trainer, "step", lost)
    with pytest.raises(Left, match="75"):
        main(["fit", "--data", str(data), "--run", str(tmp_path / "run"), *FLAGS])
    assert "has ended; it is saved at 0.0 kimg, and the same line" in capsys.readouterr().err


class Signs(dict):
    """A store of the processes' signs of life, in which the others' come by themselves."""

    def __init__(self, until):
        super().__init__()
        self.reads, self.until = 0, until

    def set(self, key, value):
        self[key] = value.encode()

    def multi_get(self, keys):
        self.reads += 1
        if self.reads > 30:
            raise SystemExit
        other = str(min(self.reads, self.until)).encode()
        return [self.get(key, other) for key in keys]


@pytest.mark.parametrize(("until", "left"), [(5, [1]), (99, [])])
def test_a_silent_process_is_noticed(until, left):
    found, store = [], Signs(until)
    watch = Watch(store, 0, 2, every_sec=0.001, most_sec=0.008, leave=lambda: found.append(1))
    with contextlib.suppress(SystemExit):
        watch.run()
    assert found == left
    assert store.reads == (5 + 8 if left else 31)


def test_a_store_that_is_gone_is_noticed():
    class Gone(Signs):
        def multi_get(self, keys):
            if self.reads >= 3:
                raise RuntimeError("Connection reset by peer")
            return super().multi_get(keys)

    found = []
    Watch(Gone(99), 0, 2, every_sec=0.001, most_sec=0.008, leave=lambda: found.append(1)).run()
    assert found == [1]


# Real processes


def environment(**more):
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """A run of two processes, started by hand."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", RUNNER, "--data", str(data), "--run", str(folder), *FLAGS]
    processes = [
        subprocess.Popen(
            command, env=environment(**meet, RANK=str(i)), stdout=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said[1] == "rank 1 of life -1 ends with 0\n"  # the first one speaks
    assert "on 2 x cpu" in said[0] and "done at 0.2 kimg" in said[0]
    return folder


def test_two_processes_make_the_steps_of_one(data, undisturbed, tmp_path):
    folder = tmp_path / "alone"
    assert main(["fit", "--data", str(data), "--run", str(folder), *FLAGS]) == 0
    alone, two = final_state(folder), final_state(undisturbed)
    for name in (name for name in alone if name.startswith(("generator", "averaged", "discr"))):
        assert torch.allclose(alone[name], two[name], atol=3e-3), name
    for one, other in zip(lines(folder), lines(undisturbed), strict=True):
        assert one["Progress/nimg"] == other["Progress/nimg"]
        assert other["Progress/augment_p"] == pytest.approx(one["Progress/augment_p"], abs=1e-6)
        assert other["Loss/D/loss"]["num"] == one["Loss/D/loss"]["num"]
        assert other["Loss/D/loss"]["mean"] == pytest.approx(one["Loss/D/loss"]["mean"], rel=1e-2)


def test_torchrun_goes_on_after_a_death_and_after_a_signal(data, undisturbed, tmp_path):
    """SIGKILL to one process, then SIGTERM to one, then left alone: the same bits in the end."""
    folder, script = tmp_path / "run", tmp_path / "runner.py"
    script.write_text(RUNNER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", "2", str(script), "--"]
    command += ["--data", str(data), "--run", str(folder), *FLAGS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=400)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"another process of this run has ended; it is saved at 0.1 kimg", said), said
    for rank in range(2):  # both stopped after the same step, with a saved state
        assert f"rank {rank} of life 1 ends with 75" in said, said
        assert f"rank {rank} of life 2 ends with 0" in said, said
    assert "stopped at 0.2 kimg, all saved" in said
    assert f"exitcode  : {-signal.SIGKILL}" not in said
    assert_same_run(undisturbed, folder)
