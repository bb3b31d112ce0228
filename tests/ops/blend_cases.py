"""Cases of the last blend; as a program: how far the kernel is from the eager way in each, as JSON, by Triton's
interpreter on the CPU (TRITON_INTERPRET=1, which has to be said before Triton is imported)."""

import json

import torch

CASES = {  # name: (batch, channels, height, width, pixels of motion)
    "one pixel": (1, 3, 1, 1, 3),
    "one row": (2, 3, 1, 37, 9),
    "one column": (2, 3, 23, 1, 9),
    "odd": (1, 3, 17, 33, 4),
    "a batch": (3, 3, 12, 20, 4),
    "wider than a block": (1, 3, 3, 517, 6),
    "beyond the border": (1, 3, 24, 40, 200),
    "one channel": (2, 1, 9, 14, 4),
}
WAYS = ("bare", "mean and residual", "in any layout", "no numbers")


def case(name, way="bare", device="cpu"):
    """What `eager` takes: smooth frames in [0, 1], and what leads to them."""
    batch, channels, height, width, motion = CASES[name]
    made = torch.Generator().manual_seed(7)
    first, second, residual = (torch.rand(batch, channels, height, width, generator=made) for _ in range(3))
    flow = motion * torch.randn(batch, 4, height, width, generator=made)
    mask = torch.rand(batch, 1, height, width, generator=made)
    parts = [first, second, flow, mask, None, None]
    if way == "mean and residual":
        parts[4:] = torch.rand(batch, 1, 1, 1, generator=made), residual - 0.5
    if way == "in any layout":  # as RIFE's frames: the first channels of more, channels last; and turned flows
        more = torch.rand(batch, 5, height, width, generator=made)
        parts[0] = torch.cat((first, more), 1).to(memory_format=torch.channels_last)[:, :channels]
        parts[1] = torch.cat((second, more), 1)[:, :channels]
        parts[2] = flow.transpose(2, 3).contiguous().transpose(2, 3)
        parts[3] = torch.cat((mask, more), 1)[:, :1]
        parts[4] = torch.rand(batch, 4, 1, 1, generator=made)[:, 1:2]
        parts[5] = residual.to(memory_format=torch.channels_last)
    if way == "no numbers":
        flow[..., ::2, :] = float("nan")
        flow[..., ::2] = float("inf")
    return [part if part is None else part.to(device) for part in parts]


def away(name, way):
    """The largest difference of a pixel."""
    from tween.ops.blend import eager
    from tween.ops.blend_kernel import blend

    parts = case(name, way)
    got = blend(*parts)
    assert got.is_contiguous()
    return float((got - eager(*parts)).abs().max())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({f"{name}, {way}": away(name, way) for name in CASES for way in WAYS}))
