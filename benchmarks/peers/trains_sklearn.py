"""scikit-learn's MLPClassifier: `partial_fit` goes over its data once, in batches."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.network import BATCH, RATE, SIZES, Array, Batches


class Adapter:
    def __init__(self) -> None:
        self.model = MLPClassifier(
            SIZES[1:-1],
            solver="adam",
            alpha=0.0,  # no other trainer penalises the weights
            batch_size=BATCH,
            learning_rate_init=RATE,
            shuffle=False,
            random_state=0,
        )
        self.whole: tuple[Batches, Array, Array] | None = None

    def epoch(self, batches: Batches) -> None:
        if self.whole is None or self.whole[0] is not batches:
            x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
            self.whole = batches, x, y
        _, x, y = self.whole
        self.model.partial_fit(x, y, classes=np.arange(SIZES[-1]))

    def predict(self, x: Array) -> Array:
        return self.model.predict(x)
