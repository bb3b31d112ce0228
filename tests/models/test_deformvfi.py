"""The deformable network: equal to the published one at any size, and whole: it can show black and white."""

import pytest
import torch
from published_others import arrays, frames, furthest, weights

from tween.models.deformvfi import ROWS, DeformableBlock, DeformVFI

FRAME, FLOW_PX = 1e-5, 2e-5


@pytest.fixture(scope="module")
def others(shared):
    return shared / "fixtures" / "others"


@pytest.mark.parametrize(("channels", "blocks", "size"), [(64, 3, (48, 64)), (16, 2, (33, 45))])
def test_equals_the_published_network(others, channels, blocks, size):
    expected = arrays(others, f"ema_seed_c{channels}")
    model = DeformVFI(channels, blocks).eval()
    model.load_state_dict(weights(others, f"ema_seed_c{channels}"), strict=True)
    seen = {}
    model.context_encoding.register_forward_hook(lambda *call: seen.update(context=call[2]))
    first = model.attention_blocks[0]
    first.offset_conv.register_forward_hook(lambda *call: seen.update(offset0=call[2][:, :, ::4, ::4]))
    model.reconstruction.register_forward_hook(lambda *call: seen.update(rec_pre01=torch.tanh(call[2])))
    for i, block in enumerate(model.attention_blocks):
        block.register_forward_hook(lambda *call, i=i: seen.update({f"attn{i}_chmean": call[2].mean((0, 2, 3))}))
    with torch.inference_mode():
        frame, aux = model(frames(others, 2, *size), torch.tensor([0.5]))
    seen.update(output=frame, flow=aux["flow1"], warped=aux["warped1"])
    assert seen.keys() == expected.keys()
    for part, value in seen.items():
        most = FLOW_PX if part in ("flow", "offset0") else FRAME
        assert furthest(value, expected[part]) <= most, part


def test_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in ROWS[0].build(1.0).parameters()) == 1_430_045


def test_before_training_a_deformable_block_is_half_a_convolution():
    torch.manual_seed(0)
    block, x = DeformableBlock(5), torch.rand(2, 5, 7, 6)
    plain = torch.nn.functional.conv2d(x, block.dcn_v2.weight / 2, block.dcn_v2.bias, padding=1)
    assert torch.allclose(block(x), plain, atol=1e-6)


def test_offsets_are_the_outer_nines_one_after_the_other():
    """Tap 4, the middle one, takes y from channel 8 and x from channel 18; the mask is channels 9 to 17."""
    block, x = DeformableBlock(1), torch.arange(49.0).view(1, 1, 7, 7)
    with torch.no_grad():
        block.dcn_v2.bias.zero_()
        block.dcn_v2.weight.zero_()
        block.dcn_v2.weight[0, 0, 1, 1] = 1
        block.offset_conv.bias[9:18] = 100  # the mask is 1
        block.offset_conv.bias[8], block.offset_conv.bias[18] = 2, 1
        assert block(x)[0, 0, 3, 3] == x[0, 0, 5, 4]


def test_black_and_white_are_within_reach():
    """The original de-normalised an output of [0, 1] and could show neither."""
    model, pictures = DeformVFI(4, 1), torch.rand(1, 2, 3, 8, 8)
    for level, value in ((-20.0, 0.0), (20.0, 1.0)):
        torch.nn.init.constant_(model.reconstruction[2].bias, level)
        assert torch.all(model(pictures, torch.tensor([0.5])).frame == value)


def test_any_size_and_every_parameter_learns():
    torch.manual_seed(0)
    model = DeformVFI(4, 2)
    for block in model.attention_blocks:
        torch.nn.init.normal_(block.offset_conv.weight, std=0.3)
    for height, width in ((1, 1), (5, 9), (16, 8)):
        frame = model(torch.rand(2, 2, 3, height, width), torch.full((2,), 0.5)).frame
        assert frame.shape == (2, 3, height, width)
    frame.square().mean().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still
