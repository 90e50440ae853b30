"""Keep a forward pass in float64, also where the model's own code asks for less.

Many architectures drop to float32 inside: RMS norms, rotary angles, softmax. There the order of sums and the kernels show
again, in the seventh digit. `Float64` runs below the model, where every tensor operation passes, and answers each request
for a lower floating type with float64. `recompute_buffers` computes constants again that were made in float32 at loading.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

LOWER = frozenset({torch.float32, torch.float16, torch.bfloat16})


class Float64(TorchDispatchMode):  # type: ignore[misc]
    """While active, no operation gives a floating tensor below float64. `requests` counts those that asked for one.

    A result that is lower nevertheless (an operation that makes its own type) is raised as LowPrecision: it would make
    the bytes depend on the machine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one operation with float64 in place of a lower type among its arguments."""
        result = func(*tree_map(self._raise, args), **tree_map(self._raise, kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype in LOWER:
                raise LowPrecision(f"the operation {func} computes in {leaf.dtype}")
        return result

    def _raise(self, value: Any) -> Any:
        if isinstance(value, torch.dtype) and value in LOWER:
            self.requests += 1
            return torch.float64
        return value


class LowPrecision(RuntimeError):
    """A model computes in less than float64 in a way that cannot be lifted."""


def recompute_buffers(model: torch.nn.Module) -> None:
    """Compute rotary frequencies again in float64: they are made at loading, in float32, and stored nowhere."""
    for module in model.modules():
        if "inv_freq" in dict(module.named_buffers(recurse=False)) and hasattr(module, "config"):
            with Float64():
                fresh = type(module)(module.config)
            for name, buffer in fresh.named_buffers(recurse=False):
                setattr(module, name, buffer)
