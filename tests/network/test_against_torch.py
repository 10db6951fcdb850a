"""The network beside PyTorch, which benchmarks/requirements.txt installs: the same numbers."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="not installed: see benchmarks/requirements.txt")

from safetensors.torch import load_file, save_file  # noqa: E402 (needs torch)

from asyncml.network.layers import Linear, ReLU  # noqa: E402
from asyncml.network.losses import softmax_cross_entropy  # noqa: E402
from asyncml.network.optimizers import SGD, Adam  # noqa: E402
from asyncml.network.sequential import MLP, Sequential  # noqa: E402
from asyncml.training.checkpoint import Checkpointer  # noqa: E402
from asyncml.training.step import Step  # noqa: E402

# sums of float32 in another order
CLOSE = {"rtol": 2e-4, "atol": 2e-6}
sizes = st.lists(st.integers(1, 40), min_size=2, max_size=4)
rows = st.integers(1, 33)
seeds = st.integers(0, 1000)


def batch(model, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, model.n_in)).astype(np.float32)
    return x, rng.integers(0, model.n_out, n)


def twin(model):
    """The same layers in torch, with the same numbers in them."""
    layers = []
    for layer in model.layers:
        if isinstance(layer, Linear):
            theirs = torch.nn.Linear(layer.n_in, layer.n_out)
            with torch.no_grad():
                theirs.weight.copy_(torch.tensor(layer.weight.T))
                theirs.bias.copy_(torch.tensor(layer.bias))
            layers.append(theirs)
        else:
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def flat(net, what=lambda p: p):
    """The parameters of torch, or what there is of each, in the order of ours."""
    return torch.cat([what(p).detach().t().reshape(-1) for p in net.parameters()]).numpy()


def made(sizes, seed):
    model = MLP(sizes, seed=seed)
    model.params += np.random.default_rng(seed).normal(0, 0.1, model.params.shape)  # no zero biases
    return model, twin(model)


def torch_loss(net, x, y):
    net.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(y))
    loss.backward()
    return loss.item()


@given(sizes=sizes, n=rows, seed=seeds)
def test_outputs_loss_and_gradients(sizes, n, seed):
    model, net = made(sizes, seed)
    x, y = batch(model, n, seed)
    with torch.no_grad():
        np.testing.assert_allclose(model.forward(x), net(torch.tensor(x)).numpy(), **CLOSE)
    assert model.loss_and_grads(x, y) == pytest.approx(torch_loss(net, x, y), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(model.grads, flat(net, lambda p: p.grad), **CLOSE)


@given(n_in=st.integers(1, 40), n_out=st.integers(1, 40), n=rows, seed=seeds)
def test_each_layer_by_itself(n_in, n_out, n, seed):
    rng = np.random.default_rng(seed)
    for layer in (Linear(n_in, n_out), ReLU()):
        model = Sequential(*([layer] if isinstance(layer, Linear) else [Linear(n_in, n_in), layer]))
        theirs = twin(model)[-1]
        x, dy = (
            rng.standard_normal((n, k)).astype(np.float32) for k in (n_in, layer.n_out or n_in)
        )
        given_x = torch.tensor(x, requires_grad=True)
        output = theirs(given_x)
        output.backward(torch.tensor(dy))
        y, dx = layer.forward(x), np.empty_like(x)
        np.testing.assert_allclose(y, output.detach().numpy(), **CLOSE)
        layer.backward(x, y, dy, dx)
        np.testing.assert_allclose(dx, given_x.grad.numpy(), **CLOSE)
        if isinstance(layer, Linear):
            np.testing.assert_allclose(layer.weight_grad, theirs.weight.grad.numpy().T, **CLOSE)
            np.testing.assert_allclose(layer.bias_grad, theirs.bias.grad.numpy(), **CLOSE)


@given(n=rows, classes=st.integers(1, 20), scale=st.sampled_from([1e-3, 1, 50, 1e4]), seed=seeds)
def test_the_loss_for_logits_of_any_size(n, classes, scale, seed):
    rng = np.random.default_rng(seed)
    z, y = (
        (scale * rng.standard_normal((n, classes))).astype(np.float32),
        rng.integers(0, classes, n),
    )
    logits = torch.tensor(z, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    loss.backward()
    grad = np.empty_like(z)
    assert softmax_cross_entropy(z, y, grad) == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(grad, logits.grad.numpy(), **CLOSE)


def ten_steps_agree(model, net, ours, theirs, seed):
    """Take ten steps on gradients of which nobody can say that rounding made them up."""
    rng = np.random.default_rng(seed)
    for _ in range(10):
        grads = rng.normal(0, 10.0 ** rng.integers(-4, 3), model.params.size)
        grads[rng.random(grads.shape) < 0.2] = 0  # as of a ReLU that passes nothing
        model.grads = grads
        for layer, other in zip(model.layers, net, strict=True):
            if isinstance(layer, Linear):
                other.weight.grad = torch.tensor(layer.weight_grad.T.copy())
                other.bias.grad = torch.tensor(layer.bias_grad)
        ours.step()
        theirs.step()
        rounding = 2e-6 * max(1, np.abs(model.params).max())  # what cancels out was large before
        np.testing.assert_allclose(model.params, flat(net), rtol=1e-5, atol=rounding)


rates = st.sampled_from([1e-4, 1e-2, 0.3])


@given(sizes=sizes, seed=seeds, lr=rates, momentum=st.sampled_from([0.0, 0.5, 0.9, 0.99]))
def test_ten_steps_of_sgd(sizes, seed, lr, momentum):
    model, net = made(sizes, seed)
    theirs = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    ten_steps_agree(model, net, SGD(model, lr, momentum), theirs, seed)


@given(
    sizes=sizes,
    seed=seeds,
    lr=rates,
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.8), (0.0, 0.99), (0.99, 0.5), (0.9, 0.0)]),
    eps=st.sampled_from([1e-8, 1e-3, 1.0]),
)
def test_ten_steps_of_adam(sizes, seed, lr, betas, eps):
    model, net = made(sizes, seed)
    theirs = torch.optim.Adam(net.parameters(), lr=lr, betas=betas, eps=eps)
    ours = Adam(model, lr=lr, betas=betas, eps=eps)
    ten_steps_agree(model, net, ours, theirs, seed)


@pytest.mark.parametrize("kind", ["SGD", "momentum", "Adam"])
def test_ten_steps_of_a_training(kind):
    model, net = made([20, 30, 15, 5], seed=3)
    x, y = batch(model, 64, seed=3)
    if kind == "Adam":
        ours, theirs = Adam(model, 1e-2), torch.optim.Adam(net.parameters(), 1e-2)
    else:
        momentum = 0.9 * (kind == "momentum")
        ours = SGD(model, 0.1, momentum)
        theirs = torch.optim.SGD(net.parameters(), 0.1, momentum=momentum)
    for _ in range(10):
        assert model.loss_and_grads(x, y) == pytest.approx(torch_loss(net, x, y), rel=1e-4)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(model.params, flat(net), rtol=1e-3, atol=1e-4)


def test_torch_reads_our_checkpoint_and_a_file_of_its_own_is_left_alone(tmp_path):
    model, net = made([4, 8, 3], seed=1)
    optimizer = Adam(model)
    theirs = tmp_path / "checkpoint-00000041.safetensors"
    save_file({name: p.to(torch.bfloat16) for name, p in net.state_dict().items()}, theirs)
    before = theirs.read_bytes()

    async def main():
        async with Checkpointer(tmp_path, keep_last=1) as checkpoints:
            with pytest.warns(UserWarning, match="00000041.*not a checkpoint of this version"):
                assert await checkpoints.restore(model, optimizer) is None
            for index in range(2):
                await checkpoints.save(Step(0, index, 0.5, 2, 0.0, 0.0), model, optimizer)

    asyncio.run(main())
    ours = tmp_path / "checkpoint-00000043.safetensors"
    assert sorted(tmp_path.iterdir()) == [theirs, ours]
    assert theirs.read_bytes() == before
    arrays = load_file(ours)
    assert torch.equal(arrays["params"], torch.tensor(flat(net)))
