"""Training passes that a CUDA graph replays, against the same passes without one.

Without a GPU a stand-in takes the place of torch's recorder. It has the recorder's traps: all its
results lie in the same memory at each replay, and a forward pass spoils the gradients of the last
backward pass.
"""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ghostexp.models.ghost_cifar import ghost_resnet56
from ghostexp.training.cuda_graph import CudaGraph, GraphedForward

CLASSES = 10
HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    if HAS_GPU:
        return
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorded)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state)
    )
    monkeypatch.setattr(GraphedForward, "_is_step", lambda self, _: self.net.training)


def recorded(function, inputs: tuple[Tensor, ...], allow_unused_input: bool):
    """What computes `function` anew, but in memory of its own, as a graph does."""
    wanted = [each for each in inputs if each.requires_grad]
    for _ in range(3):
        outputs = function(*inputs)
        torch.autograd.grad(outputs.sum(), wanted, allow_unused=allow_unused_input)
    graph = {"outputs": outputs}
    result = torch.zeros_like(outputs)
    grads = [torch.zeros_like(each) if each.requires_grad else None for each in inputs]

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *given: Tensor) -> Tensor:
            for static, each in zip(inputs, given, strict=True):
                if static.data_ptr() != each.data_ptr():
                    static.copy_(each)
            for grad in grads:
                if grad is not None:
                    grad.fill_(torch.nan)
            with torch.enable_grad():
                graph["outputs"] = function(*inputs)
            return result.copy_(graph["outputs"].detach()).detach()

        @staticmethod
        def backward(ctx, grad_outputs: Tensor):
            found = iter(torch.autograd.grad(graph["outputs"], wanted, grad_outputs))
            for grad in grads:
                if grad is not None:
                    grad.copy_(next(found))
            return tuple(None if grad is None else grad.detach() for grad in grads)

    return Replay.apply


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(1)
    pairs = [(torch.randn(size, 3, 32, 32, generator=drawn), torch.arange(size)) for size in sizes]
    return [(images.to(DEVICE), labels.to(DEVICE) % CLASSES) for images, labels in pairs]


def small(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8, CLASSES),
    ).to(DEVICE)


def trained(
    net: nn.Module, sizes: list[int], sums: int = 1, half: bool = False
) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and weights of steps by SGD, each over `sums` batches; `half` is mixed precision."""
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for number, (images, labels) in enumerate(batches(*sizes), 1):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            outputs = net(images)
        loss = cross_entropy(outputs.float(), labels)
        loss.backward()
        losses.append(loss.item())
        if number % sums == 0:
            optimizer.step()
            optimizer.zero_grad()
    return losses, net.state_dict()


def assert_same(net: nn.Module, sizes: list[int], **options: bool | int) -> None:
    """A network and its copy with graphs learn the same, up to rounding."""
    other = CudaGraph()(copy.deepcopy(net))
    losses, weights = trained(net, sizes, **options)
    graphed, replayed = trained(other, sizes, **options)
    assert other.forward.replay is not None
    torch.testing.assert_close(graphed, losses, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(replayed, weights, rtol=1e-3, atol=1e-3)


def test_a_machine_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
        CudaGraph()


def test_a_network_that_takes_more_than_images_is_refused():
    class Detector(nn.Module):
        def forward(self, images, targets=None):
            return images

    with pytest.raises(ValueError, match="take images alone, and Detector takes more"):
        CudaGraph()(Detector())


def test_on_a_cpu_the_network_computes_as_before(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    images = torch.randn(3, 3, 2, 2)
    expected = net(images)
    changed = CudaGraph()(net)
    assert torch.equal(changed(images), expected)
    assert "no CUDA graph is made" in CudaGraph().describe(changed)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(changed)))
    assert isinstance(copied.forward, GraphedForward)
    assert copied.forward.net is copied
    assert torch.equal(copied(images), expected)


@pytest.mark.parametrize("half", [False, True])
def test_replayed_steps_are_the_same_steps(half):
    """The last batch of an epoch is smaller, and the graph stays for the next epoch."""
    assert_same(small(), [8, 8, 8, 5, 8, 8], half=half)


def test_gradients_of_several_batches_are_summed():
    assert_same(small(), [8] * 8, sums=2)


def test_random_numbers_are_drawn_anew_by_each_replay():
    net = CudaGraph()(small(dropout=0.5))
    images, _ = batches(64)[0]
    outputs = [net(images).detach().clone() for _ in range(4)]
    assert net.forward.replay is not None
    assert not torch.equal(outputs[2], outputs[3])
    assert_same(small(dropout=0.5), [64] * 6)


def test_two_passes_before_a_backward_pass():
    """The maps of the first pass are needed: the second one is not replayed over them."""
    net = small()
    other = CudaGraph()(copy.deepcopy(net))
    (first, labels), (second, _) = batches(8, 8)
    for each in (net, other):
        each(first), each(first)  # recorded
        loss = cross_entropy(each(first), labels) + cross_entropy(each(second), labels)
        loss.backward()
    assert other.forward.replay is not None
    for mine, its in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(its.grad, mine.grad, rtol=1e-4, atol=1e-5)


def test_parameters_that_moved_are_read_where_they_are():
    net = CudaGraph()(small())
    images, _ = batches(8)[0]
    for _ in range(3):
        net(images)
    net[-1].weight.data = 2 * net[-1].weight.data
    expected = copy.deepcopy(net)(images)  # a copy has no graph yet
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-5)


def test_a_ghost_resnet_learns_the_same():
    torch.manual_seed(0)
    net = ghost_resnet56(num_classes=CLASSES).to(DEVICE)
    other = CudaGraph()(copy.deepcopy(net))
    losses, _ = trained(net, [64] * 4)
    graphed, _ = trained(other, [64] * 4)
    torch.testing.assert_close(graphed, losses, rtol=0.02, atol=0.02)
    assert "for batches of 64x3x32x32" in CudaGraph().describe(other)
