"""Where work is recorded, and with how much memory. A GPU's answers are given for it."""

import pytest
import torch

from landmarks.errors import UserError
from landmarks.training.cuda_graphs import choose_graph, has_room

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("graph", [True, False, "auto"])
def test_the_device_and_the_model_decide(graph):
    assert choose_graph(graph, True, CUDA) is graph
    for given in ((False, CUDA), (True, CPU)):
        if graph is True:
            with pytest.raises(UserError, match="graph=true"):
                choose_graph(graph, *given)
        else:
            assert choose_graph(graph, *given) is False


@pytest.mark.parametrize(("free", "times"), [(49, 0), (50, 1), (99, 1), (100, 2)])
def test_there_is_room_for_what_was_taken_at_most(free, times, monkeypatch):
    answers = {"max_memory_allocated": 60, "memory_allocated": 10, "mem_get_info": (free, 200)}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert [has_room(CUDA, times=1), has_room(CUDA, times=2)] == [times >= 1, times >= 2]
    assert has_room(CPU, times=2)
