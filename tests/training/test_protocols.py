"""A model and an optimiser of another library: trained, evaluated, checkpointed and resumed."""

import asyncio
import gc

import numpy as np
import pytest

from asyncml.clock import simulate
from asyncml.network.losses import MeanSquaredError
from asyncml.network.optimizers import SGD
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline, collate
from asyncml.training.checkpoint import Checkpointer, CheckpointError
from asyncml.training.evaluate import evaluate
from asyncml.training.fit import fit

N_IN, N_OUT = 5, 3


class Logistic:
    """Softmax regression with arrays of its own, in float64; knows nothing of asyncml."""

    def __init__(self, seed=0, n_out=N_OUT):
        rng = np.random.default_rng(seed)
        self.w, self.b = rng.normal(size=(N_IN, n_out)), np.zeros(n_out)
        self.dw, self.db = np.zeros_like(self.w), np.zeros_like(self.b)

    def probabilities(self, x):
        z = x @ self.w + self.b
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


class Momentum:
    """Plain momentum over named arrays and their gradients."""

    def __init__(self, pairs, lr):
        self.pairs, self.rate = pairs, lr
        self.v = [np.zeros_like(value) for value, _ in pairs]

    def update(self):
        for (value, gradient), v in zip(self.pairs, self.v, strict=True):
            v *= 0.9
            v += gradient
            value -= self.rate * v


class Wrapped:
    """The foreign model with the methods that asyncml asks for."""

    def __init__(self, inner):
        self.inner = inner

    def loss_and_grads(self, x, y):
        m, p = self.inner, self.inner.probabilities(x)
        loss = -np.log(p[np.arange(len(y)), y]).mean()
        p[np.arange(len(y)), y] -= 1
        m.dw[...], m.db[...] = x.T @ p / len(y), p.mean(axis=0)
        return float(loss)

    def forward(self, x):
        return self.inner.probabilities(x)

    def predict(self, x):
        return self.inner.probabilities(x).argmax(axis=1)

    def state(self):
        return {"w": self.inner.w, "b": self.inner.b}


class WrappedMomentum:
    def __init__(self, model, lr=0.1):
        m = model.inner
        self.model, self.inner = model, Momentum([(m.w, m.dw), (m.b, m.db)], lr)

    @property
    def lr(self):
        return self.inner.rate

    @lr.setter
    def lr(self, value):
        self.inner.rate = value

    def step(self):
        self.inner.update()

    def state(self):
        return dict(zip(("vw", "vb"), self.inner.v, strict=True))


def made(seed=0, **options):
    model = Wrapped(Logistic(seed, **options))
    return model, WrappedMomentum(model)


def rows(count=40):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(count, N_IN))
    return x, x[:, :N_OUT].argmax(axis=1)


def data(seed=2):
    x, y = rows()
    keys = Pipeline(range(len(x))).shuffle(9, seed=seed)
    return keys.map(lambda i: (x[i], y[i]), executor="inline").batch(6, collate=collate)


def bits(model, optimizer):
    return [a.tobytes() for each in (model, optimizer) for a in each.state().values()]


def by_hand(epochs):
    """What `epochs` epochs come to, by the foreign library alone."""
    model, pipeline = made()[0], data()
    m = model.inner
    optimizer = Momentum([(m.w, m.dw), (m.b, m.db)], 0.1)
    for _ in range(epochs):
        for x, y in pipeline:
            model.loss_and_grads(x, y)
            optimizer.update()
    return [a.tobytes() for a in (m.w, m.b, *optimizer.v)]


@pytest.mark.parametrize("run", [asyncio.run, simulate])
def test_it_is_trained_as_by_its_own_library(run):
    async def main():
        model, optimizer = made()
        losses = [step.loss async for step in fit(model, optimizer, data(), epochs=3)]
        assert bits(model, optimizer) == expected
        assert losses[-1] < losses[0]

    expected = by_hand(3)
    run(main())


@pytest.mark.parametrize("stop", [0, 4, 6, 7, 12])
def test_it_is_saved_and_resumed_to_the_bit(tmp_path, stop):
    async def main():
        model, optimizer = made()
        count = 0
        async with Checkpointer(tmp_path) as checkpoints:
            async for step in fit(model, optimizer, data(), epochs=3):
                if count == stop:
                    optimizer.lr = 0.1
                    await checkpoints.save(step, model, optimizer)
                    break
                count += 1
        model, optimizer = made(seed=9)
        optimizer.lr = 0.7
        async with Checkpointer(tmp_path) as checkpoints:
            step = await checkpoints.restore(model, optimizer)
        assert optimizer.lr == 0.1
        async for _ in fit(model, optimizer, data(), epochs=3, resume_from=step):
            pass
        assert bits(model, optimizer) == expected

    expected = by_hand(3)
    asyncio.run(main())


def test_another_object_of_its_class_is_the_same_model_and_another_shape_is_not(tmp_path):
    async def main():
        model, optimizer = made()
        async with Checkpointer(tmp_path) as checkpoints:
            async for step in fit(model, optimizer, data()):
                await checkpoints.save(step, model, optimizer)
                break
            gc.collect()
            assert await checkpoints.restore(*made(seed=3)) is not None
            with pytest.raises(CheckpointError, match=r"'w': 'float64 \(5, 3\)'.*\(5, 4\)"):
                await checkpoints.restore(*made(n_out=4))
            mlp = MLP([N_IN, N_OUT])
            with pytest.raises(CheckpointError, match="another model: Wrapped, not MLP"):
                await checkpoints.restore(mlp, SGD(mlp, 0.1))

    asyncio.run(main())


def test_it_is_evaluated():
    x, y = rows()
    model, _ = made()
    batches = [(x[:30], y[:30]), (x[30:], y[30:])]
    right = (model.predict(x) == y).mean()
    assert simulate(evaluate(model, batches)) == right

    def log_loss(outputs, y):
        return -np.log(outputs[np.arange(len(y)), y])

    expected = log_loss(model.forward(x), y)
    each = simulate(evaluate(model, batches, metric=log_loss))
    mean = simulate(evaluate(model, batches, metric=lambda p, y: log_loss(p, y).mean()))
    assert each == pytest.approx(expected.mean())
    assert mean == pytest.approx(expected.mean())
    with pytest.raises(ValueError, match=r"`y` must have shape \(30,\), .*got \(30, 1\)"):
        simulate(evaluate(model, [(x[:30], y[:30, None])]))


@pytest.mark.parametrize("shape", [(4,), (2, 2), ()])
def test_where_it_has_gradients_they_are_looked_at(shape):
    class Steep:
        def __init__(self):
            self.grads = np.ones(shape)

        def loss_and_grads(self, x, y):
            self.grads[...] = slope
            return 1.0

    class Nothing:
        def __init__(self, model):
            self.model, self.steps = model, 0

        def step(self):
            self.steps += 1

    async def main():
        model = Steep()
        optimizer = Nothing(model)
        async for _ in fit(model, optimizer, [rows(3)]):
            pass
        return optimizer.steps

    slope = 1e200  # finite; its square is not
    assert simulate(main()) == 1
    slope = np.nan
    with pytest.raises(FloatingPointError, match="a gradient is not finite"):
        simulate(main())


def lacking(kind, *names):
    return type(kind.__name__, (kind,), dict.fromkeys(names))


def test_what_is_missing_is_named_where_it_is_needed(tmp_path):
    async def saved(model, optimizer):
        async with Checkpointer(tmp_path) as checkpoints:
            await checkpoints.restore(model, optimizer)

    model, optimizer = made()
    for name, use in (
        ("loss_and_grads", lambda m: fit(m, optimizer, [])),
        ("predict", lambda m: simulate(evaluate(m, []))),
        ("forward", lambda m: simulate(evaluate(m, [], metric=max))),
        ("state", lambda m: asyncio.run(saved(m, optimizer))),
    ):
        part = lacking(Wrapped, name)(model.inner)
        with pytest.raises(TypeError, match=rf"got Wrapped, which has no {name}\(\)"):
            use(part)

    class Stepping:
        def __init__(self, model):
            self.model = model

        def step(self):
            pass

    assert len(fit(model, Stepping(model), [rows(3)])) == 1
    with pytest.raises(TypeError, match=r"got .*Stepping.*, which has no `state`"):
        asyncio.run(saved(model, Stepping(model)))


def test_an_array_of_a_model_is_not_taken_for_one_of_its_optimiser(tmp_path):
    class Odd(Wrapped):
        def state(self):
            return {"optimizer.vw": self.inner.w}

    async def main():
        model = Odd(Logistic())
        optimizer = WrappedMomentum(model)
        async with Checkpointer(tmp_path) as checkpoints:
            async for step in fit(model, optimizer, data()):
                with pytest.raises(ValueError, match=r"may be called 'optimizer\.vw'"):
                    await checkpoints.save(step, model, optimizer)
                break

    asyncio.run(main())


def test_ours_with_another_loss_is_saved_and_known_by_it(tmp_path):
    x, _ = rows()
    batches = [(x.astype(np.float32), x[:, :2].astype(np.float32))]

    def made(loss):
        model = MLP([N_IN, 2], loss=loss)
        return model, SGD(model, 0.1)

    async def main():
        model, optimizer = made(MeanSquaredError())
        async with Checkpointer(tmp_path) as checkpoints:
            steps = [step async for step in fit(model, optimizer, batches, epochs=9)]
            await checkpoints.save(steps[-1], model, optimizer)
            again, other = made(MeanSquaredError())
            await checkpoints.restore(again, other)
            assert again.params.tobytes() == model.params.tobytes()
            with pytest.raises(CheckpointError, match=r"loss=MeanSquaredError\(\)\), not MLP"):
                await checkpoints.restore(*made(None))

    asyncio.run(main())
