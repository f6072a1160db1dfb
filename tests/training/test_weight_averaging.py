"""Weights averaged, and batch norms that fit the average."""

import torch
from torch import nn

from landmarks.training.precision import Precision
from landmarks.training.weight_averaging import Ema, average_weights, reestimate_statistics


def test_weights_are_the_mean_and_counts_the_largest():
    members = [
        {"a": torch.tensor([1.0, 4.0]), "half": torch.tensor([1.0]).half(), "n": torch.tensor(3)},
        {"a": torch.tensor([2.0, 8.0]), "half": torch.tensor([2.0]).half(), "n": torch.tensor(5)},
    ]
    found = average_weights(members)
    assert found["a"].tolist() == [1.5, 6.0] and found["n"].item() == 5
    assert found["half"].item() == 1.5 and found["half"].dtype == torch.float16


class Model(nn.Module):
    """A norm of the images, with dropout before it; its flip is not to be looked at."""

    def __init__(self):
        super().__init__()
        self.norm, self.dropout, self.flip = nn.BatchNorm2d(3), nn.Dropout(0.5), "flip"

    def forward(self, images):
        assert self.flip is None
        return self.norm(self.dropout(images.float()))


class Batch:
    def __init__(self, images):
        self.images = images


def test_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    images = torch.randn(3, 8, 3, 5, 5) * 2 + 7
    model = Model().train()
    model.norm.running_mean.fill_(99)
    precision = Precision("off", torch.device("cpu"))
    assert reestimate_statistics(model, map(Batch, images), precision) == 1
    torch.testing.assert_close(model.norm.running_mean, images.mean((0, 1, 3, 4)))
    expected = images.transpose(1, 2).flatten(2).var(2).mean(0)
    torch.testing.assert_close(model.norm.running_var, expected)
    assert model.norm.momentum == 0.1 and not model.norm.training and model.flip == "flip"
    assert reestimate_statistics(nn.Linear(1, 1), [], precision) == 0


def test_weights_follow_smoothed_and_counters_as_they_are():
    model = nn.BatchNorm1d(3)
    ema = Ema(model, 0.99)
    before = {name: value.clone() for name, value in ema.model.state_dict().items()}
    model.weight.data.fill_(3.0)
    model(torch.randn(5, 3))
    ema.update()
    decay = 2 / 11  # (1 + n) / (10 + n) at the first step
    after, followed = ema.model.state_dict(), model.state_dict()
    assert after["num_batches_tracked"] == 1
    for name in ("weight", "running_mean", "running_var"):
        expected = decay * before[name] + (1 - decay) * followed[name]
        torch.testing.assert_close(after[name], expected)


def test_a_model_without_counters_is_followed():
    model = nn.Linear(2, 1)
    ema = Ema(model, 0.0)
    model.weight.data.fill_(7.0)
    ema.update()
    assert torch.equal(ema.model.weight, model.weight)
