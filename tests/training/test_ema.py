import torch
from torch import nn

from landmarks.training.ema import Ema


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
