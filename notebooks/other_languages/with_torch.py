"""PyTorch through asyncml: its model in `aml.fit`, and an `aml.Pipeline` in its DataLoader.

python with_torch.py
"""

import asyncio

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import asyncml as aml


class Wrapped:  # what `aml.fit` and `aml.evaluate` ask of a model
    def __init__(self, module):
        self.module = module

    def loss_and_grads(self, x, y):
        self.module.zero_grad()
        guessed = self.module(torch.from_numpy(x))
        loss = cross_entropy(guessed, torch.from_numpy(y))
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def predict(self, x):
        return self.module(torch.from_numpy(x)).argmax(dim=1).numpy()


class WrappedOptimizer:  # and of an optimiser
    def __init__(self, model, optimizer):
        self.model, self.step = model, optimizer.step


class OverPipeline(IterableDataset):  # each worker process loads its own share
    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __iter__(self):
        worker = get_worker_info()
        mine = self.pipeline
        if worker:
            mine = mine.shard(worker.id, worker.num_workers)
        return iter(mine.map(load, concurrency=8))


def pixels_of(dataset):
    return dataset.images.reshape(-1, 784).astype(np.float32) / 255, dataset.labels.astype(int)


async def load(row):
    await asyncio.sleep(0.005)  # from far away
    images, labels = TRAIN
    return images[row], labels[row]


TRAIN, TEST = map(pixels_of, aml.fashion_mnist())


async def train():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    model = Wrapped(module)
    optimizer = WrappedOptimizer(model, torch.optim.Adam(module.parameters(), lr=1e-3))
    loader = aml.Pipeline(range(6400)).shuffle(6400, seed=0).map(load, concurrency=256)
    batches = loader.batch(64, collate=aml.collate)
    steps = [step async for step in aml.fit(model, optimizer, batches, epochs=3)]
    accuracy = await aml.evaluate(model, [TEST])
    return steps, accuracy


def main():
    torch.set_num_threads(1)
    steps, accuracy = asyncio.run(train())
    print(f"aml.fit with a torch module: {len(steps)} steps", end=", ")
    print(f"loss {steps[0].loss:.1f} to {steps[-1].loss:.1f}, right on {accuracy:.0%}")
    dataset = OverPipeline(aml.Pipeline(range(640)))
    for workers in 0, 2:
        batches = list(DataLoader(dataset, batch_size=64, num_workers=workers))
        images = sum(len(x) for x, _ in batches)
        print(f"DataLoader, {workers} workers: {len(batches)} batches, {images} images")


if __name__ == "__main__":
    main()
