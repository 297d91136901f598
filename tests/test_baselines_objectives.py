"""The compared systems' training losses against plain restatements."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import nn

from eval.baselines import iizuka, isola, larsson, zhang
from eval.baselines.isola import PatchDiscriminator
from eval.baselines.weight_files import seeded
from eval.baselines.zhang import bin_centres, rebalancing


def seeded_random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.floats(-110, 110), st.floats(-110, 110)), min_size=1, max_size=20),
    st.sampled_from([5, 10]),
)
def test_soft_encoding_is_the_gaussian_of_the_nearest_bins(
    colours: list[tuple[float, float]], neighbours: int
) -> None:
    ab = torch.tensor(colours, dtype=torch.float64)
    nearest, weights = zhang.soft_encode(ab, neighbours=neighbours)
    centres = bin_centres().astype(np.float64)
    for index, got, colour in zip(nearest.numpy(), weights.numpy(), ab.numpy(), strict=True):
        distance = np.sqrt(((centres - colour) ** 2).sum(axis=1))
        np.testing.assert_allclose(distance[index], np.sort(distance)[:neighbours], atol=1e-6)
        # the common factor exp(-d0²/50) cancels; without it far colours would underflow
        expected = np.exp(-(distance[index] ** 2 - distance.min() ** 2) / 50)
        np.testing.assert_allclose(got, expected / expected.sum(), atol=1e-6)


def test_a_colour_on_a_bin_weighs_that_bin_most() -> None:
    nearest, weights = zhang.soft_encode(torch.from_numpy(bin_centres()))
    assert (nearest[:, 0].numpy() == np.arange(313)).all()
    assert (weights[:, 0] > weights[:, 1]).all()


def test_bin_shares_are_the_mean_of_the_dense_codes() -> None:
    ab = torch.rand(50, 2, generator=seeded_random(0)) * 80 - 40
    nearest, weights = zhang.soft_encode(ab)
    dense = np.zeros((50, 313))
    np.put_along_axis(dense, nearest.numpy(), weights.numpy().astype(float), axis=1)
    np.testing.assert_allclose(zhang.bin_shares(nearest, weights), dense.mean(axis=0), atol=1e-7)


def test_rebalanced_cross_entropy_by_hand() -> None:
    """Every pixel in loops: dense code, log-softmax, weight of the nearest bin."""
    generator = seeded_random(1)
    logits = torch.randn(3, 313, 2, 2, generator=generator)
    ab = torch.rand(3, 2, 8, 8, generator=generator) * 160 - 80
    ab[2] = 3.0  # no value above 5: a grey picture
    prior = np.random.default_rng(0).dirichlet(np.ones(313))
    weights = rebalancing(prior)
    total = 0.0
    for picture in range(2):
        pixels = []
        for i in range(2):
            for j in range(2):
                colour = ab[picture, :, 4 * i, 4 * j].double().numpy()
                distance = np.sqrt(((bin_centres() - colour) ** 2).sum(axis=1))
                nearest = np.argsort(distance)[:10]
                code = np.exp(-(distance[nearest] ** 2 - distance.min() ** 2) / 50)
                scores = logits[picture, :, i, j].double().numpy()
                log_p = scores - math.log(np.exp(scores).sum())
                surprise = -(code / code.sum() * log_p[nearest]).sum()
                pixels.append(weights[nearest[0]] * surprise)
        total += float(np.mean(pixels))
    got = zhang.rebalanced_cross_entropy(logits, ab, torch.from_numpy(weights))
    assert got.item() == pytest.approx(total / 3, rel=1e-4)


def test_huber_regression_by_hand() -> None:
    difference = np.array([0.2, 5.0])  # of ab: below and above δ · 110 = 1.1
    ab = torch.zeros(1, 2, 1, 1)
    got = zhang.huber_regression(torch.tensor(difference).float().view(1, 2, 1, 1), ab)
    small, large = difference / 110
    assert got.item() == pytest.approx(0.5 * small**2 / 0.01 + large - 0.005, rel=1e-5)


def test_iizuka_colour_reaches_zero_at_the_inverse_of_its_decoding() -> None:
    sigma = torch.rand(2, 2, 4, 4, generator=seeded_random(2))
    ab = (2 * sigma - 1) * 100
    assert iizuka.colour_loss(sigma, ab).item() < 1e-12
    shifted = iizuka.colour_loss(sigma + 0.1, ab)
    assert shifted.item() == pytest.approx(0.01, rel=1e-4)


def test_soft_cross_entropy_is_cross_entropy_for_labels() -> None:
    logits = torch.randn(5, 7, generator=seeded_random(3))
    labels = torch.tensor([0, 6, 2, 2, 1])
    one_hot = nn.functional.one_hot(labels, 7).float()
    expected = nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(iizuka.soft_cross_entropy(logits, one_hot), expected)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_local_histograms_count_the_window(height: int, width: int, seed: int) -> None:
    values = torch.rand(1, height, width, generator=seeded_random(seed))
    got = larsson.local_histograms(values)[0].numpy()
    plane = values[0].numpy()
    for i in range(height):
        for j in range(width):
            window = plane[max(0, i - 3) : i + 4, max(0, j - 3) : j + 4]
            expected = np.histogram(window, bins=32, range=(0, 1))[0] / window.size
            np.testing.assert_allclose(got[:, i, j], expected, atol=1e-6)


def test_full_values_fall_into_the_last_bin() -> None:
    assert larsson.local_histograms(torch.ones(1, 1, 1))[0, 31, 0, 0] == 1


@pytest.mark.parametrize(("grey", "expected"), [(0, 0), (0.1, 0.3), (0.5, 1), (0.9, 0.3), (1, 0)])
def test_chroma_confidence(grey: float, expected: float) -> None:
    assert larsson.chroma_confidence(torch.tensor(grey)).item() == pytest.approx(expected, abs=1e-6)


def test_histogram_kl_by_hand() -> None:
    generator = seeded_random(4)
    rgb = torch.rand(2, 3, 8, 12, generator=generator)
    hue_scores, chroma_scores = (torch.randn(2, 32, 4, generator=generator) for _ in range(2))
    cells = torch.tensor([[0, 5, 4, 4], [1, 1, 2, 3]])
    hue, chroma = larsson.hue_and_chroma(rgb)
    expected = [0.0, 0.0]
    for picture in range(2):
        for place, cell in enumerate(cells[picture].tolist()):
            i, j = divmod(cell, 3)
            y, x = 4 * i + 2, 4 * j + 2
            level = rgb[picture, :, y, x].mean().item()
            weights = (chroma[picture, y, x].item(), 3 * min(level, 1 / 3, 1 - level))
            for which, (scores, plane) in enumerate(((hue_scores, hue), (chroma_scores, chroma))):
                window = plane[picture, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].numpy()
                target = np.histogram(window, bins=32, range=(0, 1))[0]
                guess = scores[picture, :, place].softmax(dim=0).numpy()
                expected[which] += weights[which] * float(entropy(target, guess)) / 8
    got = larsson.histogram_kl(hue_scores, chroma_scores, rgb, cells)
    np.testing.assert_allclose([t.item() for t in got], expected, rtol=1e-4)


def test_cgan_losses_by_hand() -> None:
    real, fake = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 3.0]])

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    expected = -(log_sigmoid(2) + log_sigmoid(-1)) / 2 - (log_sigmoid(-0.5) + log_sigmoid(-3)) / 2
    assert isola.cgan_discriminator(real, fake).item() == pytest.approx(expected / 2, rel=1e-5)
    ab = torch.zeros(1, 2, 2, 2)
    adversarial, l1 = isola.cgan_generator(fake, ab + 11, ab)
    assert adversarial.item() == pytest.approx(-(log_sigmoid(0.5) + log_sigmoid(3)) / 2, rel=1e-5)
    assert l1.item() == pytest.approx(0.1)


def test_discriminator_has_the_published_size_and_field() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in PatchDiscriminator().parameters()) == 2_765_633
    network = seeded(lambda: PatchDiscriminator(1 / 16), 0)
    for module in network.modules():
        if type(module).__name__ == "BatchStatistics":
            module.forward = lambda x: x  # type: ignore[method-assign]  # the norm sees everything
    ab = torch.zeros(1, 2, 256, 256, requires_grad=True)
    scores = network(torch.zeros(1, 1, 256, 256), ab)
    assert scores.shape == (1, 1, 30, 30)
    (gradient,) = torch.autograd.grad(scores[0, 0, 15, 15], ab)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70
