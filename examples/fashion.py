"""Train a network on images from a folder or a bucket, and go on where it was stopped.

    python examples/fashion.py images/ --make 3000     writes images to try it on, and ends
    python examples/fashion.py images/                 trains
    python examples/fashion.py s3://bucket/prefix --run night-1 --serve 8000

Images are PNG files whose names end with their label: `00017-9.png`. Every tenth one is kept for
validation. Ctrl-C finishes the step and saves; the same command goes on from there.
"""

import asyncio
import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import numpy as np

import asyncml as aml

BATCH, SAVE_EVERY = 100, 20  # images in a step, steps between two checkpoints


def load_data(store, keys):
    """Return batches (x, y): 16 requests in flight, lost ones repeated, in order, bounded."""

    def decode(data):
        return aml.decode_png(data), aml.label_of(data.key)

    images = aml.Pipeline(keys).shuffle(len(keys), seed=0).map(store.get, retries=5)
    images = images.map(decode, concurrency=2, on_error=aml.skip(log=True), max_failures=0.01)
    return images.batch(BATCH, collate=as_arrays)


def as_arrays(pairs):
    """Make x (n, 784) float32 from 0 to 1, and y (n,), of n pairs (image, label)."""
    images, labels = zip(*pairs, strict=True)
    return np.stack(images).reshape(len(images), -1).astype(np.float32) / 255, np.array(labels)


async def train_model(model, optimizer, train, test, folder, epochs, patience):
    """Train until `patience` epochs in a row were no better than the best; return the scores."""
    async with aml.Checkpointer(folder) as checkpoints:
        last = await checkpoints.restore(model, optimizer, train)
        book = folder / "scores.json"  # what early stopping has to know after a kill
        scores = json.loads(book.read_text()) if book.exists() else []
        if last:
            print(f"going on after step {last.index} of epoch {last.epoch}", flush=True)
        try:
            for epoch in range(last.epoch if last else 0, epochs):
                best = max(range(epoch), key=scores.__getitem__, default=epoch)
                if epoch - best > patience:
                    break
                steps = aml.fit(model, optimizer, train, epochs=epoch + 1, resume_from=last)
                async for last in steps:
                    if (last.index + 1) % SAVE_EVERY == 0:
                        await checkpoints.save(last, model, optimizer)
                scores[epoch:] = [await aml.evaluate(model, test)]
                book.with_suffix(".new").write_text(json.dumps(scores))
                book.with_suffix(".new").replace(book)  # a kill leaves the old or the new, whole
                await checkpoints.save(last, model, optimizer)
                print(f"epoch {epoch}: loss {last.loss:.2f}, {scores[-1]:.1%} right", flush=True)
        except asyncio.CancelledError:  # Ctrl-C; `last` is the last step that changed the model
            if last:
                await checkpoints.save(last, model, optimizer)
            raise
    return scores


def serve_model(model, port):
    """Answer requests in batches, over HTTP, until Ctrl-C; refuse those that come too fast."""
    import uvicorn

    batcher = aml.MicroBatcher(model.forward, max_batch_size=64, max_pending=256)
    uvicorn.run(aml.create_app(batcher, "fashion", example=np.zeros(784, np.float32)), port=port)


async def main(options, model):
    """Find the images, and train on nine in ten of them, or write some."""
    new = {"mkdir": True} if options.make and options.source.startswith("file:") else {}
    store = aml.ObjectStore(options.source, **new, **dict(s.split("=", 1) for s in options.set))
    if options.make:
        keys = await aml.write_objects(store, aml.fashion_mnist()[0][: options.make], prefix="")
        return print(f"{len(keys)} images written to {options.source}")
    keys = [key for key in await store.list("") if key.endswith(".png")]
    if len(keys) < 20:
        sys.exit(f"{len(keys)} PNG files in {options.source}: `--make 3000` writes some")
    train = load_data(store, [key for place, key in enumerate(keys) if place % 10])
    parts = model, aml.Adam(model), train, load_data(store, keys[::10])
    scores = await train_model(*parts, options.run, options.epochs, options.patience)
    print(f"trained for {len(scores)} epochs; the best had {max(scores):.1%} right", flush=True)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", help="a folder, or a URL such as s3://bucket/prefix")
    add("--run", type=Path, default=Path("run"), help="folder of checkpoints (default: run)")
    add("--epochs", type=int, default=20, help="at most (default: 20)")
    add("--patience", type=int, default=3, help="epochs that may bring nothing (default: 3)")
    add("--set", action="append", default=[], help="of the store, such as endpoint=http://...")
    add("--make", type=int, metavar="N", help="write N images to the source, and end")
    add("--serve", type=int, metavar="PORT", help="answer requests, after the training")
    options = parser.parse_args()
    if min(n for n in (options.epochs, options.patience, options.make) if n is not None) < 1:
        parser.error("--epochs, --patience and --make must be 1 or more")
    if not all("=" in text for text in options.set):
        parser.error("--set wants NAME=VALUE, such as endpoint=http://...")
    if "://" not in options.source:
        options.source = Path(options.source).resolve().as_uri()
    model = aml.MLP([784, 128, 10], seed=0)
    try:
        asyncio.run(main(options, model))
    except KeyboardInterrupt:
        print(f"\nstopped: the same command goes on from what is saved in {options.run}")
        sys.exit(130)
    except (OSError, ImportError, ValueError, NotImplementedError, aml.CheckpointError) as error:
        sys.exit(f"fashion.py: {error}")
    if options.serve is not None:
        serve_model(model, options.serve)
