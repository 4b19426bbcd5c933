"""What a picture carries beside its recipe: noise maps and a tuning, as one safetensors blob.

A recipe names its attachment by hash (`x`), so that the two find each other again.
"""

from __future__ import annotations

import copy
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from stylegan.config import UserError
from stylegan.networks.synthesis_v2 import Synthesis
from stylegan.query import HASH_DIGITS
from stylegan.stamp import MAX_ATTACHMENT_BYTES

FORMAT = "1"
MOST_KEPT_BYTES = 128 << 20  # of attachments by other people that a model holds
MOST_BUILT = 4  # tuned networks at hand

_NOISE, _DELTA, _LEFT, _RIGHT = "noise.", "delta.", "left.", "right."


class AttachmentError(UserError):
    """An attachment that cannot be read, or that fits another model."""


_NAME = re.compile(r"noise\.[0-9]{1,3}|(delta|left|right)\.[a-z0-9_.]{1,100}")


@dataclass(frozen=True)
class LowRank:
    """A change of a weight [O, ...], as left [O, K] times right [K, the rest of its shape]."""

    left: Tensor
    right: Tensor

    def full(self) -> Tensor:
        """The change in float32."""
        right = self.right.float()
        return (self.left.float() @ right.flatten(1)).reshape(-1, *right.shape[1:])


class Attachment:
    """Noise maps, one [r, r] a layer, and changes of synthesis weights by name; all half precision.

    Rounded when it is made, so that what is drawn before saving and after loading is the same.
    """

    def __init__(
        self,
        noise: Sequence[Tensor] = (),
        delta: Mapping[str, Tensor | LowRank] | None = None,
    ) -> None:
        tensors = {f"{_NOISE}{i}": m.reshape(m.shape[-2:]) for i, m in enumerate(noise)}
        for name, change in (delta or {}).items():
            if isinstance(change, LowRank):
                tensors |= {_LEFT + name: change.left, _RIGHT + name: change.right}
            else:
                tensors[_DELTA + name] = change
        self._set(save_bytes({k: _half(k, v) for k, v in tensors.items()}, {"format": FORMAT}))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Attachment:
        """Read a blob, which may come from anybody; `check` compares it with a model."""
        attachment = cls.__new__(cls)
        attachment._set(blob)
        return attachment

    def _set(self, blob: bytes) -> None:
        if len(blob) > MAX_ATTACHMENT_BYTES:
            most = MAX_ATTACHMENT_BYTES >> 20
            raise AttachmentError(f"the noise and tuning are of more than {most} MB")
        try:
            tensors = load_bytes(blob)
        except (SafetensorError, ValueError, KeyError, OverflowError) as error:
            raise AttachmentError("the noise and tuning in the picture are damaged") from error
        for name, tensor in tensors.items():
            if not _NAME.fullmatch(name) or tensor.dtype != torch.float16:
                raise AttachmentError("what the picture carries is neither noise nor a tuning")
            if not torch.isfinite(tensor).all():
                raise AttachmentError("the noise or tuning holds numbers that are not finite")
        self.blob, self._tensors = blob, tensors

    @property
    def key(self) -> str:
        """The first hex digits of the blob's sha256; a recipe's `x`."""
        return hashlib.sha256(self.blob).hexdigest()[:HASH_DIGITS]

    @property
    def noise(self) -> list[Tensor]:
        """float32 [1, 1, r, r] for each layer in drawing order; none where it has no noise."""
        maps = sorted((int(name[len(_NOISE) :]), name) for name in self._of(_NOISE))
        return [self._tensors[name].float()[None, None] for _, name in maps]

    @property
    def delta(self) -> dict[str, Tensor]:
        """Changes of synthesis weights by name, float32."""
        whole = {name[len(_DELTA) :]: self._tensors[name].float() for name in self._of(_DELTA)}
        pairs = {name[len(_LEFT) :]: self._tensors[name] for name in self._of(_LEFT)}
        return whole | {
            name: LowRank(left, self._tensors[_RIGHT + name]).full() for name, left in pairs.items()
        }

    def _of(self, kind: str) -> list[str]:
        return [name for name in self._tensors if name.startswith(kind)]

    def check(self, synthesis: Synthesis) -> None:
        """Refuse what does not fit this network; nothing large is allocated before that."""
        shapes = {name: tuple(p.shape) for name, p in synthesis.named_parameters()}
        for name, tensor in self._tensors.items():
            kind, _, own = name.partition(".")
            if kind == "delta" and shapes.get(own) != tuple(tensor.shape):
                raise _misfit()
            if kind in ("left", "right") and not self._pairs(own, shapes.get(own)):
                raise _misfit()
        found = {name: tuple(self._tensors[name].shape) for name in self._of(_NOISE)}
        wanted = {f"{_NOISE}{i}": (r, r) for i, r in enumerate(synthesis.noise_shapes)}
        if found and found != wanted:
            raise _misfit()

    def _pairs(self, name: str, shape: tuple[int, ...] | None) -> bool:
        """Whether two factors give a weight of this shape."""
        left, right = (self._tensors.get(kind + name) for kind in (_LEFT, _RIGHT))
        if shape is None or left is None or right is None or left.ndim != 2 or right.ndim < 2:
            return False
        return len(right) == left.shape[1] and (len(left), *right.shape[1:]) == shape

    def tuned(self, synthesis: Synthesis) -> Synthesis:
        """The network with the changed weights; all others are shared with the given one."""
        delta = self.delta
        if not delta:
            return synthesis
        changed = shallow_copy(synthesis)
        for name, change in delta.items():
            place, _, own = name.rpartition(".")
            old = synthesis.get_parameter(name)
            new = nn.Parameter(old.detach() + change.to(old.device), requires_grad=False)
            setattr(changed.get_submodule(place), own, new)
        return changed


class Attached:
    """Attachments that a network draws with, by their keys; what was used longest ago goes."""

    def __init__(self, synthesis: Synthesis, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self.synthesis, self.most_bytes = synthesis, most_bytes
        self._kept: OrderedDict[str, Attachment] = OrderedDict()
        self._built: OrderedDict[str, tuple[list[Tensor], Synthesis]] = OrderedDict()
        self._lock = threading.RLock()

    def add(self, attachment: Attachment) -> None:
        """Keep it, if it fits the network; others may go to make room."""
        attachment.check(self.synthesis)
        with self._lock:
            self._kept[attachment.key] = attachment
            self._kept.move_to_end(attachment.key)
            while len(self._kept) > 1 and self._bytes() > self.most_bytes:
                key, _ = self._kept.popitem(last=False)
                self._built.pop(key, None)

    def copy(self) -> Attached:
        """One of its own, with the same in it."""
        with self._lock:
            other = Attached(self.synthesis, self.most_bytes)
            other._kept, other._built = self._kept.copy(), self._built.copy()
            return other

    def get(self, key: str | None) -> Attachment | None:
        """The attachment of this key, None where it is not here."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def network(self, key: str) -> tuple[list[Tensor], Synthesis]:
        """The noise maps, if there are any, and the network to draw with."""
        with self._lock:
            attachment = self.get(key)
            if attachment is None:
                raise AttachmentError(elsewhere(key))
            if key not in self._built:
                device = next(self.synthesis.parameters()).device
                noise = [m.to(device) for m in attachment.noise]
                self._built[key] = noise, attachment.tuned(self.synthesis)
            self._built.move_to_end(key)
            while len(self._built) > MOST_BUILT:
                self._built.popitem(last=False)
            return self._built[key]

    def _bytes(self) -> int:
        return sum(len(attachment.blob) for attachment in self._kept.values())


def elsewhere(key: str) -> str:
    """What to say where the attachment of a recipe is not at hand."""
    return f"x {key}: this picture's noise or tuning is in its own file; open the PNG"


def shallow_copy(module: nn.Module) -> nn.Module:
    """Modules of one's own around the same tensors."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _misfit() -> AttachmentError:
    return AttachmentError("the noise and tuning in the picture fit another model")


def _half(name: str, values: Tensor) -> Tensor:
    half = values.detach().cpu().half().contiguous()
    if not torch.isfinite(half).all():
        raise AttachmentError(f"{name} holds numbers that half precision cannot carry")
    return half.clone()
