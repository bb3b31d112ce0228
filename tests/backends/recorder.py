"""What stands in for a CUDA graph where there is no GPU: work is done again, into the tensors of its first time."""


def again(work):
    """As `cudagraph` records: what plays it, and what it writes each time."""
    outputs = work()

    def play():
        for mine, made in zip(outputs, work(), strict=True):
            mine.copy_(made)

    return play, outputs
