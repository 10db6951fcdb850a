"""torch: the loop of its tutorials, with default Adam, with fused Adam, or compiled.

The compiled version compiles the network and the loss together, and uses the fused Adam.
"""

import torch
from torch import nn

from benchmarks.network import RATE, Array, Batches, layer_sizes
from benchmarks.peers import Unable


class Adapter:
    """A torch network and its Adam.

    Args:
        fused: whether Adam is one kernel over all parameters.
        compiled: whether network and loss are compiled.
    """

    def __init__(self, fused: bool = False, compiled: bool = False) -> None:
        torch.manual_seed(0)
        layers = [each for sizes in layer_sizes() for each in (nn.Linear(*sizes), nn.ReLU())]
        self.model = nn.Sequential(*layers[:-1])
        self.loss = self._loss
        if compiled:
            self.loss = torch.compile(self._loss)
            self._try()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=fused)

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(x), y)

    def _try(self) -> None:
        first = layer_sizes()[0][0]
        try:
            self.loss(torch.zeros(2, first), torch.zeros(2, dtype=torch.int64)).backward()
        except Exception as error:  # torch has no single error for "there is no C++ compiler"
            raise Unable(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error

    def epoch(self, batches: Batches) -> None:
        for x, y in batches:
            self.optimizer.zero_grad()
            self.loss(torch.from_numpy(x), torch.from_numpy(y)).backward()
            self.optimizer.step()

    def predict(self, x: Array) -> Array:
        with torch.no_grad():
            return self.model(torch.from_numpy(x)).argmax(dim=1).numpy()
