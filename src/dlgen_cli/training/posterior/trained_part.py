"""The part of a folded network that is trained under a posterior; the rest is evaluated once."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call

from dlgen_cli.checkpoints.runs.posterior_file import FACTOR, StoredPosterior
from dlgen_cli.errors import UsageError
from dlgen_cli.networks.layer_kinds import kind_of
from dlgen_cli.networks.logit_layers import logit_layers, logit_sum
from dlgen_cli.predictors.evaluation import wrong_answers
from dlgen_cli.training.posterior.gaussian_layer import Form, GaussianLayer, GaussianTensor
from dlgen_cli.training.surrogates import VotingError, softmax_error

if TYPE_CHECKING:
    from dlgen_cli.networks import GraphLayer, Network
    from dlgen_cli.predictors import FoldedNetwork
    from dlgen_cli.predictors.folded_network import SplitNetwork
    from dlgen_cli.training.posterior.settings import Spread

#: Deviation of the logits under the first posterior, about.
_FIRST_NOISE = 0.7
#: Examples that the bases of factors are made of.
_FOR_BASES = 10_000


def choose_trainable(network: Network, patterns: Sequence[str] | None) -> set[str]:
    """The coordinates that patterns name; those of the layers that give the logits where None.

    Raises:
        UsageError: a pattern matches no coordinate.
    """
    names = [
        name
        for layer in network.layers.values()
        for name in (layer.weight_name, layer.bias_name)
        if name is not None
    ]
    if patterns is None:
        last = logit_layers(network)
        if not last:
            raise UsageError(
                "The network's last layer is not linear, so that none is trained by default.",
                remedy="Give --trainable GLOB.",
            )
        return {name for one in last for name in (one.weight_name, one.bias_name) if name}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"--trainable {pattern} matches no coordinate; the last one is {names[-1]}.",
                remedy="Name coordinates as dlgen spectra lists layers.",
            )
    return {name for name in names if any(fnmatchcase(name, one) for one in patterns)}


class TrainedPart:
    """The layers from the first trained one on, with their Gaussians.

    Attributes:
        gaussians: of every trained coordinate, by name.
        parameters: what the optimizers train.
    """

    def __init__(
        self,
        folded: FoldedNetwork,
        trainable: Collection[str],
        bases: Mapping[str, float],
        spread: Spread,
        generator: torch.Generator,
    ) -> None:
        """Cut the network and put Gaussian layers in the place of the trained ones.

        Args:
            folded: the anchor.
            trainable: names of coordinates.
            bases: the scale of each coordinate of the anchor.
            spread: the form that the user asks for.
            generator: of the noise, on the device of the network.
        """
        network = folded.network
        self._parts: SplitNetwork = folded.split(trainable)
        self._module = copy.deepcopy(self._parts.head)
        self._layers: dict[str, GaussianLayer] = {}
        last = {layer.module for layer in logit_layers(network)}
        summed = logit_sum(network, trainable)
        self._summed = {network.layers[name].module for name in summed or ()}
        self._error = VotingError()
        for layer in {one.module: one for one in network.layers.values()}.values():
            if not {layer.weight_name, layer.bias_name} & set(trainable):
                continue
            form = _form(spread, layer, is_last=layer.module in last)
            weight, bias = (
                GaussianTensor(name, folded.parameters[name], bases[name], one)
                if name in trainable
                else folded.parameters.get(name)
                for name, one in ((layer.weight_name, form), (layer.bias_name or "", "tensor"))
            )
            gaussian = GaussianLayer(layer, weight, bias, generator).to(folded.device)
            self._module.set_submodule(layer.module, gaussian)
            self._layers[layer.module] = gaussian
        gaussians = [tensor for layer in self._layers.values() for tensor in layer.gaussians()]
        self.gaussians = {tensor.name: tensor for tensor in gaussians}
        names = {name for name, _ in self._module.named_parameters()}
        self._fixed = {name: one for name, one in folded.parameters.items() if name in names}

    @torch.no_grad()
    def features(self, batches: Iterator[Tensor], count: int) -> tuple[Tensor, ...]:
        """What it reads of every example, evaluated once.

        Args:
            batches: the examples as the network takes them.
            count: of all examples.

        Returns:
            Float32 tensors of ``count`` rows.
        """
        kept: list[Tensor] = []
        start = 0
        for batch in batches:
            found = self._parts.features(batch)
            if not kept:
                kept = [_like(one, count) for one in found]
            for whole, part in zip(kept, found, strict=True):
                whole[start : start + len(batch)] = part
            start += len(batch)
        return tuple(kept)

    def logits(self, features: Sequence[Tensor], *, noisy: bool) -> Tensor:
        """Evaluate it under a fresh draw, or at the mean."""
        for layer in self._layers.values():
            layer.begin(noisy=noisy)
        return self._evaluated(features)

    def risk(self, features: Sequence[Tensor], labels: Tensor) -> Tensor:
        """The mean chance of an error under the posterior, smooth in its means and deviations.

        Where the logits are a sum of trained matrices, they are Gaussians given what those read,
        which is drawn where it is random: the chance of an error is an integral. Else the chance
        is that of a guess drawn from the softmax.
        """
        if not self._summed:
            return softmax_error(self.logits(features, noisy=True), labels)
        for name, layer in self._layers.items():
            layer.begin(noisy=True, tells_variances=name in self._summed)
        means, variances = self._evaluated(features).chunk(2)
        if bool((variances == variances[:, :1]).all()):
            variances = variances[:, :1]
        return self._error(means, variances.sqrt(), labels).mean()

    def _evaluated(self, features: Sequence[Tensor]) -> Tensor:
        result: Tensor = functional_call(self._module, self._fixed, tuple(features))
        return result

    def nats(self) -> Tensor:
        """The divergence of the posterior from its prior."""
        return torch.stack([one.nats() for one in self.gaussians.values()]).sum()

    @torch.no_grad()
    def set_bases(self, features: Sequence[Tensor], batch: int) -> tuple[Tensor, ...]:
        """Take the bases of factors from what their layers read at the anchor.

        Returns:
            The features to go on with: where one of them is what such a layer reads, it is turned
            to its basis, once for all steps.
        """
        watched = [one for one in self._layers.values() if one.has_factor]
        for layer in watched:
            layer.watch()
        count = min(_FOR_BASES, len(features[0])) if watched else 0
        for start in range(0, count, batch):
            self.logits([one[start : start + batch] for one in features], noisy=False)
        for layer in watched:
            layer.take_basis(count, _FIRST_NOISE / math.sqrt(len(watched)))
        turned = list(features)
        for name in self._summed:
            layer = self._layers[name]
            for place, one in enumerate(features):
                if layer.has_factor and layer.has_read(one[start : start + batch]):
                    self._turn(layer, turned, place, batch)
        return tuple(turned)

    def _turn(self, layer: GaussianLayer, features: list[Tensor], place: int, batch: int) -> None:
        """Turn a feature to a layer's basis, unless something else reads it too."""
        assert isinstance(layer.weight, GaussianTensor)  # noqa: S101  it has a factor
        own, basis = features[place], layer.weight.basis
        before = self.logits([one[:batch] for one in features], noisy=False)
        features[place] = torch.cat([part @ basis for part in torch.split(own, batch)])
        layer.is_turned = True
        after = self.logits([one[:batch] for one in features], noisy=False)
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
            features[place], layer.is_turned = own, False

    @torch.no_grad()
    def mean_error(self, features: Sequence[Tensor], labels: Tensor, batch: int) -> float:
        """Share of the examples that the posterior's mean answers wrongly."""
        errors = 0
        for start in range(0, len(labels), batch):
            part = slice(start, start + batch)
            logits = self.logits([one[part] for one in features], noisy=False)
            errors += int(wrong_answers(logits, labels[part]).sum())
        return errors / len(labels)

    def fix_prior(self) -> None:
        """Take prior deviations that a bound may choose; they are no longer trained."""
        for one in self.gaussians.values():
            one.fix_prior()

    def posterior(self) -> StoredPosterior:
        """Exponents and spreads; the prior must be fixed."""
        exponents, spreads = {}, {}
        for name, one in self.gaussians.items():
            assert one.exponent is not None  # noqa: S101  the prior is fixed
            exponents[name] = one.exponent
            spreads[name + FACTOR * (one.form == "factor")] = one.stored_spread()
        return StoredPosterior(exponents=exponents, spreads=spreads)

    @torch.no_grad()
    def means(self) -> dict[str, Tensor]:
        """The posterior's mean of every trained coordinate, float32 on the CPU."""
        return {name: one.mean().cpu() for name, one in self.gaussians.items()}


def _form(spread: Spread, layer: GraphLayer, *, is_last: bool) -> Form:
    if spread == "auto":
        return "factor" if is_last else "tensor"
    if spread == "factor" and not kind_of(layer).has_patches:
        return "tensor"
    return spread


def _like(part: Tensor, count: int) -> Tensor:
    """Room for all examples, laid out as one batch is."""
    layout = torch.contiguous_format
    if part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    return torch.empty((count, *part.shape[1:]), device=part.device).contiguous(
        memory_format=layout
    )
