"""One step of training: G main, G path length, D main, D penalty, average, augmentation's p."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stylegan import chance
from stylegan.config import Precision, TrainConfig, UserError
from stylegan.distributed import ALONE, Group
from stylegan.networks.discriminators import discriminator_of
from stylegan.networks.generator import Generator
from stylegan.networks.growing import at_lod, grown, shrink
from stylegan.networks.mapping import broadcast
from stylegan.networks.synthesis_v2 import Noise

from . import augment, diffaugment, losses, schedule, transfer
from .draws import Chance, Params
from .guards import Guard
from .stats import Tally

ADAM_BETAS, ADAM_EPS = (0.0, 0.99), 1e-8
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}
GRADIENT_LIMIT = 1e5  # stands for infinity


class Trainer:
    """Networks, optimisers and the few numbers that a step changes.

    Of several processes each computes its share of the batch, and all take the same step.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device | str = "cpu",
        group: Group = ALONE,
    ) -> None:
        self.config, self.device, self.group = config, torch.device(device), group
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(chance.seed_for(config.seed, "init", 0))
            self.generator = Generator(config.network)
            self.discriminator = discriminator_of(config.network)
        self.generator.to(self.device).requires_grad_(False)
        self.discriminator.to(self.device).requires_grad_(False)
        self.averaged = copy.deepcopy(self.generator).eval()
        self._frozen = transfer.frozen(config, self.generator, self.discriminator)
        self.adam_g = _adam(self.generator, config.lr, config.g_reg_interval)
        self.adam_d = _adam(self.discriminator, config.lr, config.d_reg_interval)
        self.dtype = DTYPES[config.precision]
        self.objective = losses.Objective.of(config.loss, config.drift)
        self.batch, self.side = config.batch, config.network.resolution  # of the step
        self.tally = Tally(group)
        self.guard = Guard(self.device, self.tally, counts=group.is_first)
        self.iteration = 0
        self.pl_mean = torch.zeros([], device=self.device)
        self.p = config.p if config.aug != "none" else 0.0
        self.sign_sum, self.sign_count = 0.0, 0
        self._signs: list[Tensor] = []  # of this interval, still on their device
        if config.network.grows:
            self._set_lod(schedule.lod(round(config.start_kimg * 1000), config))

    def start_from(self, model: str) -> transfer.Report:
        """Begin with what fits of a model's weights; all else begins anew."""
        report = transfer.start_from(model, self.generator, self.averaged, self.discriminator)
        if anew := [name for name in report.anew if name in self._frozen]:
            raise UserError(
                f"{anew[0]} would keep the random weights that it begins with, since those of "
                f"{model} do not fit; leave out freeze_d and freeze_mapping"
            )
        return report

    def step(self, images: Tensor, labels: Tensor, nimg: int, chance: Chance) -> None:
        """Learn from reals: images uint8 [N, C, R, R], labels [N, c_dim], `nimg` seen before.

        They are this process's `share` of the batch; chance draws for the whole batch.
        """
        config = self.config
        reals = images.to(self.device).float() / 127.5 - 1
        c = labels.to(self.device) if config.network.c_dim else None
        reals = self._grow(reals, nimg)

        phases = {"Gmain": lambda: self._generator_main(chance)}
        if config.pl_weight and self._is_due(config.g_reg_interval):
            phases["Gpath"] = lambda: self._generator_path(chance)
        self._take(phases, config.g_reg_interval)
        phases = {"Dmain": lambda: self._discriminator_main(reals, c, chance)}
        if config.gamma and self._is_due(config.d_reg_interval):
            phases["Dr1"] = lambda: self._discriminator_penalty(reals, c, chance)
        self._take(phases, config.d_reg_interval)

        self.guard.end_step()
        self._average(schedule.ema_decay(nimg, self.batch, config.ema_kimg, config.ema_ramp))
        self.iteration += 1
        if config.aug == "ada" and self.iteration % config.ada_interval == 0:
            self._adjust_p()
        if schedule.new_stage(nimg, nimg + self.batch, config):
            self.adam_g.state.clear()
            self.adam_d.state.clear()

    @torch.no_grad()
    def scores(self, images: Tensor, labels: Tensor, real: bool = True) -> Tensor:
        """What D gives uint8 pictures [N, C, R, R] as they are, not augmented: [N, 1].

        Generated ones, which are not `real`, have been faded already where pictures grow.
        """
        img = images.to(self.device).float() / 127.5 - 1
        if self.config.network.grows:
            times = self.config.network.resolution // self.side
            img = at_lod(img, float(self.discriminator.lod)) if real else shrink(img, times)
        c = labels.to(self.device) if self.config.network.c_dim else None
        return self.discriminator(img, c, self.dtype)

    def _grow(self, reals: Tensor, nimg: int) -> Tensor:
        """Set what grows to where it stands after `nimg` images; reals as small as fakes are."""
        config = self.config
        self.batch = schedule.batch(nimg, config)
        if not config.network.grows:
            return reals
        lod, lr = schedule.lod(nimg, config), schedule.lr(nimg, config)
        self._set_lod(lod)
        _set_lr(self.adam_g, lr, config.g_reg_interval)
        _set_lr(self.adam_d, lr, config.d_reg_interval)
        return at_lod(reals, lod)

    def _set_lod(self, lod: float) -> None:
        self.side, _ = grown(self.config.network.resolution, lod)
        for network in (self.generator.synthesis, self.averaged.synthesis, self.discriminator):
            network.lod.fill_(lod)

    def _is_due(self, interval: int) -> bool:
        return not interval or self.iteration % interval == 0

    def _take(self, phases: dict[str, Callable[[], Tensor]], interval: int) -> None:
        """A step for each phase; one for all where the regulariser has no interval."""
        if not interval:
            phases = {next(iter(phases)): lambda all=phases: sum(phase() for phase in all.values())}
        for name, phase in phases.items():
            self._update(name, phase)

    # Phases: each leaves the gradients of this process's share of the mean over the whole batch,
    # and gives that share of the mean

    def _generator_main(self, chance: Chance) -> Tensor:
        n = self.batch
        z, c, noise, crossover = self._fakes_of("Gmain", n, chance)
        params = chance.augmentation("Gmain", self._shape(n), self.p)
        w, parts, total = [], self._parts(n), self._zero()
        for rows in parts:
            img, _ = self._fake(z, c, noise, crossover, rows, seen=w)
            logits = self._logits(img, c, params, rows)
            loss = self.objective.generator(logits)
            total += _backward(loss.sum() / n)
            self._report({"scores/fake": logits, "signs/fake": logits.sign(), "G/loss": loss})
        self._track(w, parts, n)
        return total

    def _generator_path(self, chance: Chance) -> Tensor:
        n = max(self.batch // self.config.pl_batch_shrink, 1)
        z, c, noise, crossover = self._fakes_of("Gpath", n, chance)
        pl_noise = chance.path_noise(self._shape(n))
        parts = self._parts(n, groups=False)
        w = []

        def lengths(rows: Tensor, seen: list[Tensor] | None = None) -> Tensor:
            img, ws = self._fake(z, c, noise, crossover, rows, seen=seen)
            return losses.path_lengths(img, ws, pl_noise[rows])

        # The penalty couples all lengths through their mean: with several parts, first measure all
        held = lengths(parts[0], seen=w) if len(parts) == 1 else None
        every = [lengths(rows, seen=w).detach() for rows in parts] if held is None else [held]
        values = self._gather(every, parts, [n]).requires_grad_()
        penalty, mean = losses.path_penalty(values, self.pl_mean)
        weight = self.config.pl_weight * max(self.config.g_reg_interval, 1)
        (slopes,) = torch.autograd.grad(penalty.mean() * weight, values)
        total = self._zero()
        for rows in parts:
            ((lengths(rows) if held is None else held) * slopes[rows]).sum().backward()
            total += penalty.detach()[rows].sum() * (weight / n)
        mine = self._columns(n, False).flatten().to(self.device)
        self._report({"pl_penalty": penalty[mine]})
        self.pl_mean.copy_(mean.detach())
        self._track(w, parts, n)
        return total

    def _discriminator_main(self, reals: Tensor, c_real: Tensor | None, chance: Chance) -> Tensor:
        n = self.batch
        z, c, noise, crossover = self._fakes_of("Dmain", n, chance)
        params = chance.augmentation("Dfake", self._shape(n), self.p)
        params_real = chance.augmentation("Dreal", self._shape(n), self.p)
        w, parts, total = [], self._parts(n), self._zero()
        for rows, mine in zip(parts, self._places(parts), strict=True):
            with torch.no_grad():
                img, _ = self._fake(z, c, noise, crossover, rows, seen=w)
            fake = self._logits(img, c, params, rows)
            loss_fake = self.objective.fake(fake)
            total += _backward(loss_fake.sum() / n)
            real = self._logits(reals[mine], c_real, params_real, rows, mine)
            loss_real = self.objective.real(real)
            total += _backward(loss_real.sum() / n)
            self._report({"scores/fake": fake, "signs/fake": fake.sign()})
            self._report_reals(real, loss_fake.detach() + loss_real.detach())
        self._track(w, parts, n)
        return total

    def _discriminator_penalty(self, reals: Tensor, c: Tensor | None, chance: Chance) -> Tensor:
        """R1, or WGAN-GP's penalty on the way from fakes, of the reals' classes, to the reals."""
        n, wasserstein = self.batch, self.config.loss == "wgan-gp"
        params = chance.augmentation("Dr1", self._shape(n), self.p)
        share = losses.whole_share(self.side, self.config.network.resolution)
        weight = self.config.gamma * (1 if wasserstein else 0.5)
        weight *= max(self.config.d_reg_interval, 1)
        if wasserstein:
            z, _, noise, crossover = self._fakes_of("Dr1", n, chance)
            shares = chance.shares("Dr1", n)
        parts, total = self._parts(n), self._zero()
        for rows, mine in zip(parts, self._places(parts), strict=True):
            img = reals[mine]
            if wasserstein:
                with torch.no_grad():
                    fake, _ = self._fake(z, c, noise, crossover, rows, None, mine)
                img = losses.between(fake, img, shares[rows])
            logits = self._logits(img.requires_grad_(), c, params, rows, mine)
            if wasserstein:
                penalty = losses.gradient_penalty(logits, img, share)
            else:
                penalty = losses.r1_penalty(logits, img) * share
                self._report_reals(logits, None)
            total += _backward(penalty.sum() * (weight / n))
            self._report({"gradient_penalty" if wasserstein else "r1_penalty": penalty})
        return total

    # Parts of a phase

    def _fakes_of(self, phase: str, n: int, chance: Chance) -> tuple:
        z = [chance.latents(phase, n)]
        crossover = chance.crossovers(phase, n)
        if crossover is not None:
            z.append(chance.latents(f"{phase}.mix", n))
        sides = [r for r in self.generator.synthesis.noise_shapes if r <= self.side]
        noise = chance.noise(phase, n, sides)
        return z, chance.labels(phase, n), noise, crossover

    def _fake(
        self,
        z: list[Tensor],
        c: Tensor | None,
        noise: Noise,
        crossover: Tensor | None,
        rows: Tensor,
        seen: list[Tensor] | None,
        labelled: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pictures [n, C, R, R] and their ws [n, num_ws, w_dim]; w is noted in `seen`.

        Labels are in the same rows of c, unless `labelled` says in which.
        """
        num_ws = self.config.network.num_ws
        c = None if c is None else c[rows if labelled is None else labelled]
        w = self.generator.mapping(z[0][rows], c)
        if seen is not None:
            seen.append(w.detach())
        ws = broadcast(w, num_ws)
        if crossover is not None:
            other = broadcast(self.generator.mapping(z[1][rows], c), num_ws)
            first = torch.arange(num_ws, device=self.device) < crossover[rows][:, None]
            ws = torch.where(first[:, :, None], ws, other)
        if not ws.requires_grad:  # a mapping that stays as it is; path lengths need the slope here
            ws = ws.detach().requires_grad_(torch.is_grad_enabled())
        maps = noise if isinstance(noise, str) else [m[rows] for m in noise]
        return self.generator.synthesis(ws, maps, self.dtype, whole=False), ws

    def _logits(
        self,
        img: Tensor,
        c: Tensor | None,
        params: Params | None,
        rows: Tensor,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """D of pictures that stand in these rows of the batch; their labels in the same rows of
        c, unless `labelled` says in which."""
        if params is not None:
            apply = augment.apply if isinstance(params, augment.Params) else diffaugment.apply
            img = apply(img, params[rows.cpu()])
        c = None if c is None else c[rows if labelled is None else labelled]
        return self.discriminator(img, c, self.dtype)

    @property
    def share(self) -> Tensor:
        """Rows of the batch that this process computes; int64, on the CPU."""
        return self._columns(self.batch, True).flatten()

    def share_of(self, n: int) -> np.ndarray:
        """The same for a batch of n."""
        return self._columns(n, True).flatten().numpy()

    def _columns(self, n: int, groups: bool) -> Tensor:
        """This process's rows of n as [group, columns]; each column is a whole group of the
        minibatch deviation."""
        group = min(self.config.network.mbstd_group, n) if groups else 1
        rows = torch.arange(n).reshape(group, n // group)
        return rows.tensor_split(self.group.size, dim=1)[self.group.rank]

    def _parts(self, n: int, groups: bool = True) -> list[Tensor]:
        """Rows of each micro-batch; of whole groups of the minibatch deviation, unless not."""
        return self._micro(self._columns(n, groups).to(self.device), n)

    def _places(self, parts: list[Tensor]) -> list[Tensor]:
        """Where rows of the batch stand in this process's share of it."""
        columns = self._columns(self.batch, True)
        places = torch.arange(columns.numel(), device=self.device).reshape(columns.shape)
        return self._micro(places, self.batch)

    def _micro(self, columns: Tensor, n: int) -> list[Tensor]:
        """Columns, cut into micro-batches."""
        micro = min(self.config.micro_batch or n, n)
        parts = columns.split(max(micro // len(columns), 1), dim=1)
        return [part.flatten() for part in parts if part.numel()]

    def _gather(self, values: list[Tensor], parts: list[Tensor], shape: Sequence[int]) -> Tensor:
        """What each process has for its rows, for all rows: [n, ...]."""
        whole = torch.zeros(shape, device=self.device)
        for rows, value in zip(parts, values, strict=True):
            whole[rows] = value.detach()
        return self.group.sum_(whole)

    def _track(self, w: list[Tensor], parts: list[Tensor], n: int) -> None:
        """Move the running mean of w by the whole batch's."""
        self.generator.mapping.track(self._gather(w, parts, [n, self.config.network.w_dim]))

    def _zero(self) -> Tensor:
        return torch.zeros([], device=self.device)

    def _shape(self, n: int) -> tuple[int, int, int, int]:
        return n, self.config.network.channels, self.side, self.side

    def _update(self, name: str, phase: Callable[[], Tensor]) -> None:
        """Run a phase with gradients for one network alone, and take its step."""
        kind = "generator" if name.startswith("G") else "discriminator"
        network, adam = (
            (self.generator, self.adam_g)
            if kind == "generator"
            else (self.discriminator, self.adam_d)
        )
        params = {
            full: param
            for own, param in network.named_parameters()
            if (full := f"{kind} {own}") not in self._frozen
        }
        for param in params.values():
            param.requires_grad_(True)
        loss = phase()
        network.requires_grad_(False)
        flat = self._summed(list(params.values()), loss)
        gradients, loss = flat[:-1], flat[-1]
        layout = [(full, param.numel()) for full, param in params.items()]
        self.guard.see(name, gradients, loss, layout)
        gradients.nan_to_num_(nan=0, posinf=GRADIENT_LIMIT, neginf=-GRADIENT_LIMIT)
        sizes = [size for _, size in layout]
        for param, part in zip(params.values(), gradients.split(sizes), strict=True):
            param.grad = part.view_as(param)
        adam.step()
        adam.zero_grad(set_to_none=True)

    def _summed(self, params: list[nn.Parameter], loss: Tensor) -> Tensor:
        """Gradients and loss in a row, summed over all processes: the one place where they meet."""
        flat = [  # out of reach in this phase: Adam counts a gradient of zero
            (torch.zeros_like(param) if param.grad is None else param.grad).flatten()
            for param in params
        ]
        return self.group.sum_(torch.cat([*flat, loss.reshape(1)]))

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        for ours, theirs in zip(
            self.averaged.parameters(), self.generator.parameters(), strict=True
        ):
            ours.copy_(theirs.lerp(ours, decay))
        for ours, theirs in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            ours.copy_(theirs)

    def weights(self) -> list[Tensor]:
        """Every tensor of the networks."""
        networks = (self.generator, self.averaged, self.discriminator)
        return [tensor for network in networks for tensor in network.state_dict().values()]

    def settle(self) -> None:
        """Bring the processes' statistics together; all of them do it before one saves."""
        self.signs()
        self.tally.sums()

    # Adaptive augmentation

    def signs(self) -> tuple[float, int]:
        """Sum and count of sign(D(real)) since p was adjusted, over all processes."""
        if self._signs:
            signs = torch.cat(self._signs)
            here = torch.tensor([signs.sum().item(), signs.numel()], dtype=torch.float64)
            total, count = self.group.sum_(here).tolist()
            self.sign_sum += total
            self.sign_count += int(count)
            self._signs = []
        return self.sign_sum, self.sign_count

    def restore_signs(self, total: float, count: int) -> None:
        """Forget all signs but these."""
        self.sign_sum, self.sign_count, self._signs = total, count, []

    def _adjust_p(self) -> None:
        total, count = self.signs()
        config = self.config
        self.p = augment.adjust_p(
            self.p, total / count, self.batch, config.ada_interval, config.target, config.ada_kimg
        )
        self.sign_sum, self.sign_count = 0.0, 0

    # Reports

    def _report(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.tally.add(f"Loss/{name}", value)

    def _report_reals(self, logits: Tensor, loss: Tensor | None) -> None:
        signs = logits.detach().sign().flatten()
        self._signs.append(signs)
        self._report({"scores/real": logits, "signs/real": signs})
        if loss is not None:
            self._report({"D/loss": loss})


def _backward(loss: Tensor) -> Tensor:
    """Add its gradients; the loss, detached."""
    loss.backward()
    return loss.detach()


def fast_precision(device: torch.device) -> Precision:
    """The reduced precision that this device has units for; float32 where it has none."""
    if device.type == "cuda":
        generation = torch.cuda.get_device_capability(device)[0]
        return "bfloat16" if generation >= 8 else "float16" if generation == 7 else "float32"
    if device.type == "cpu":
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"
    return "float32"


def _adam(network: nn.Module, lr: float, interval: int) -> torch.optim.Adam:
    betas = ADAM_BETAS
    if interval:
        lr, betas = schedule.lazy_adam(lr, betas, interval)
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, eps=ADAM_EPS, fused=True)


def _set_lr(adam: torch.optim.Adam, lr: float, interval: int) -> None:
    if interval:
        lr, _ = schedule.lazy_adam(lr, ADAM_BETAS, interval)
    for group in adam.param_groups:
        group["lr"] = lr
