"""ChromaGAN as an objective: eq. (1) of the paper in its three variants."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chromagan.checkpoint.release_file import load_release, load_state
from chromagan.checkpoint.source import CheckpointError
from chromagan.config import Preset, TrainConfig, preset_settings
from chromagan.model import Critic, Generator, build_generator, enlarge_ab, vgg
from chromagan.model.device import cpu_multiplies_bf16
from chromagan.model.pretrained import (
    load_efficientnet,
    load_teacher,
    load_torchvision_vgg_trunk,
    load_vgg_trunk,
)
from chromagan.training.batches import Batch, torch_draws
from chromagan.training.feature_cache import FeatureCache, pack, unpack, weights_digest
from chromagan.training.losses import (
    adversarial_share,
    color_gradient,
    critic_losses,
    generator_losses,
    gradient_penalty,
)
from chromagan.training.objective import Facts, Objective


class Prediction(NamedTuple):
    """What generator and teacher say of a batch."""

    ab: Tensor
    """ab code at the generator's own output size."""
    ab_full: Tensor
    """The same at the working size."""
    class_logits: Tensor | None
    teacher_probs: Tensor | None


class ChromaGAN(Objective):
    """Generator with colour, class and adversarial terms; the critic of (L, ab) opposes it."""

    network: Generator

    @staticmethod
    def settings(preset: Preset, architecture: str) -> dict[str, Any]:
        return preset_settings(preset, "vgg16" if architecture == "vgg16" else "lite")

    def __init__(self, config: TrainConfig, device: torch.device, facts: Facts) -> None:
        super().__init__(config, device, facts)
        assert config.model is not None
        self.model = config.model
        self.side = self.model.image_size if self.model.architecture == "vgg16" else 224
        self.network = build_generator(self.model)
        self.trunk = self.network.trunk
        load_start(self.network, config)
        self.opponent = Critic(self.model.divisor) if config.weights.adversarial else None
        stages = self.trunk.shallow_parts(config.frozen_stages)
        self.frozen = [self.trunk] if config.freeze_trunk else stages
        if self.network.class_head is not None and not config.weights.classes:
            self.frozen = [*self.frozen, self.network.class_head]
        for part in self.frozen:
            part.requires_grad_(False).eval()
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        for network in (self.network, self.opponent):
            if network is not None:
                network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.teacher = None
        if config.weights.classes:
            self.teacher = load_teacher(config.teacher, self.model.compat).to(device)
        self.forward = torch.compile(self.network) if config.compile else self.network
        self._kept: dict[Hashable, NDArray[Any]] = {}
        self.caches = self._open_caches() if config.cache_views else {}

    def groups(self) -> list[dict[str, Any]]:
        """Trunk, class head and the rest with their rates; no weight decay on biases and norms."""
        config = self.config
        rates = {
            "trunk": config.trunk_lr if config.trunk_lr is not None else config.lr,
            "class_head": config.class_lr if config.class_lr is not None else config.lr,
            "rest": config.lr,
        }
        groups: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                part = name.split(".")[0]
                key = (part if part in rates else "rest", parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        return [
            {"params": p, "lr": rates[part], "weight_decay": config.weight_decay if decays else 0.0}
            for (part, decays), p in groups.items()
        ]

    # -- the generator ---------------------------------------------------------------------------

    def predict(self, batch: Batch) -> Prediction:
        wanted = bool(self.config.weights.classes)
        with self.autocast():
            features = self._features(batch)
            output = self.forward(batch.seen, classes=wanted, features=features)
            probs = self._teacher_probs(batch)
        ab = output.ab.float()
        size = (batch.ab.shape[-2], batch.ab.shape[-1])
        return Prediction(ab, enlarge_ab(ab, size, self.model), output.class_logits, probs)

    def terms(self, output: Prediction, batch: Batch, *, opposed: bool) -> dict[str, Tensor]:
        weights, scores = self.config.weights, None
        if opposed and self.opponent is not None:
            self.opponent.requires_grad_(False)
            with self.autocast():
                scores = self.opponent(*self._as_seen_by_critic(batch, output)).float()
            self.opponent.requires_grad_(True)
        terms = generator_losses(
            ab_hat=output.ab_full,
            ab=batch.ab,
            class_logits=output.class_logits,
            teacher_probs=output.teacher_probs,
            fake_scores=scores,
            weights=weights,
            criterion=self.config.criterion,
            log_eps=self.config.log_eps,
        )
        if scores is not None:
            terms["adversarial_share"] = self._watch_share(terms, output)
        return terms

    def _watch_share(self, terms: dict[str, Tensor], output: Prediction) -> Tensor:
        """The critic's share of the pull on the generator's output; filled in by the backward."""
        pull = color_gradient(terms["color"], output.ab, self.config.weights)
        share = torch.zeros((), device=self.device)

        def note(total: Tensor) -> None:
            share.copy_(adversarial_share(pull, total))

        output.ab.register_hook(note)  # type: ignore[no-untyped-call]
        return share

    def colors(self, network: nn.Module, l_B1HW: Tensor, key: Hashable) -> Tensor:
        assert isinstance(network, Generator)
        bf16 = self.config.bf16 or (self.device.type == "cpu" and cpu_multiplies_bf16())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            features = self._validation_features(l_B1HW, key) if self.config.freeze_trunk else None
            ab = network(l_B1HW, classes=False, features=features).ab
        return enlarge_ab(ab.float(), (l_B1HW.shape[-2], l_B1HW.shape[-1]), self.model)

    # -- the critic ------------------------------------------------------------------------------

    def _as_seen_by_critic(
        self, batch: Batch, output: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """L and ab, predicted or true; at half size without the enlargement, if so wanted."""
        if self.config.critic_size == "half":
            ab = F.avg_pool2d(batch.ab, 2) if output is None else output.ab
            return F.avg_pool2d(batch.luminance, 2), ab
        return batch.luminance, batch.ab if output is None else output.ab_full

    def opponent_terms(
        self, output: Prediction, batch: Batch, place: tuple[int, ...]
    ) -> dict[str, Tensor]:
        """Scores in bf16 where asked, the penalty always in fp32."""
        assert self.opponent is not None
        luminance, fake = self._as_seen_by_critic(batch, output)
        fake, real = fake.detach(), self._as_seen_by_critic(batch)[1]
        draws = torch_draws(self.config.seed, "critic", *place)
        mix = torch.rand((len(real), 1, 1, 1), generator=draws).to(real)
        with self.autocast():
            real_scores, fake_scores = self.opponent(
                luminance.repeat(2, 1, 1, 1), torch.cat((real, fake))
            ).chunk(2)
        penalty = gradient_penalty(self.opponent, luminance, real, fake, mix, self.model.compat)
        return critic_losses(
            real_scores=real_scores.float(),
            fake_scores=fake_scores.float(),
            penalty=penalty,
            weights=self.config.weights,
            compat=self.model.compat,
        )

    # -- what a frozen trunk and the teacher have said before ------------------------------------

    def _open_caches(self) -> dict[str, FeatureCache]:
        """One folder of features for the trunk, one for the teacher: runs share what they can."""
        config = self.config
        folder = Path(config.cache_folder or Path(config.out).parent / "features")
        names = ("crop", "zoom", "stretch", "flip", "jitter", "seed", "shortest", "bf16")
        views = {name: getattr(config, name) for name in names}
        trunk = views | {"trunk": self.model.architecture, "weights": weights_digest(self.trunk)}
        caches = {"trunk": FeatureCache(folder, trunk, as_bytes=self.trunk.kept_as_bytes)}
        if self.teacher is not None:
            teacher = views | {"teacher": weights_digest(self.teacher)}
            caches["teacher"] = FeatureCache(folder, teacher)
        return caches

    def _features(self, batch: Batch) -> list[Tensor] | None:
        """Features for the generator; None where it shall compute them itself."""
        if "trunk" in self.caches:
            with torch.no_grad():
                kept = self.caches["trunk"](
                    batch.views, lambda: self.trunk.kept(self.trunk(batch.seen)), self.device
                )
                features = self.trunk.restored(batch.seen, kept)
        elif self.config.dropout:
            features = self.trunk(batch.seen)
        else:
            return None
        share = self.config.dropout
        return self.trunk.thinned(features, share) if share else features

    def _teacher_probs(self, batch: Batch) -> Tensor | None:
        teacher = self.teacher
        if teacher is None or "teacher" not in self.caches:
            return teacher(batch.seen) if teacher is not None else None
        cache = self.caches["teacher"]
        return cache(batch.views, lambda: {"probs": teacher(batch.seen)}, self.device)["probs"]

    def _validation_features(self, l_B1HW: Tensor, key: Hashable) -> list[Tensor]:
        """The frozen trunk sees validation's pictures once, then they are kept in memory."""
        if key not in self._kept:
            kept = self.trunk.kept(self.trunk(l_B1HW))
            self._kept[key] = pack(kept, as_bytes=self.trunk.kept_as_bytes)
        return self.trunk.restored(l_B1HW, unpack(self._kept[key], self.device))

    def flush(self) -> None:
        for cache in self.caches.values():
            cache.flush()

    def notes(self) -> list[str]:
        return [
            f"{name} features: {len(cache):,} views known, {cache.bytes / 1e9:.2f} GB in "
            f"{cache.folder}; {cache.made:,} of them made here in {cache.seconds:.0f} s"
            for name, cache in self.caches.items()
        ]


def load_start(generator: Generator, config: TrainConfig) -> None:
    """Fill a fresh generator from `--init`, or its trunk from ImageNet weights."""
    if config.init:
        load_init(generator, Path(config.init))
    elif config.trunk_weights == "none":
        return
    elif generator.config.architecture == "lite":
        load_efficientnet(generator, Path(config.trunk_weights) if config.trunk_weights else None)
    elif config.trunk_weights:
        load_vgg_trunk(generator, Path(config.trunk_weights), config.trunk_input)
    else:
        load_torchvision_vgg_trunk(generator)


def load_init(generator: Generator, path: Path) -> None:
    """Copy what fits from a training state (its average) or a release; the rest stays fresh.

    A release's one linear map becomes the three of training. Only the class head may be absent.
    """
    if path.suffix == ".safetensors":
        state = load_release(path)[0].state_dict()
    else:
        state = load_state(path).get("ema", {})
    own = generator.state_dict()
    branch = generator.global_branch
    if isinstance(branch, vgg.GlobalBranch) and not generator.config.folded:
        weight, bias = (state.get(f"global_branch.linear.0.{part}") for part in ("weight", "bias"))
        if weight is not None and bias is not None and weight.shape == branch.product_shape:
            branch.unfold(weight, bias)
            own = generator.state_dict()
            state |= {k: v for k, v in own.items() if k.startswith("global_branch.linear.")}
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    absent = [k for k in own if k not in fitting and not k.startswith("class_head.")]
    if absent:
        raise CheckpointError(f"--init {path}: does not fit this network, {absent[0]} is missing")
    generator.load_state_dict(fitting, strict=False)
