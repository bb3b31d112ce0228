"""RIFE 4.x, version by version: the facts in which they differ, as rows."""

from __future__ import annotations

from dataclasses import dataclass

PYRAMID = (8, 4, 2, 1)
TALL_PYRAMID = (16, 8, 4, 2, 1)


@dataclass(frozen=True)
class Version:
    """One published network.

    Attributes:
        number: as its authors count, `4.12.lite`.
        widths: channels of each block, from the coarsest.
        scales: the grid that each block works on, in pixels of the frame a cell.
        multiple: what height and width must be multiples of, at user scale 1.
        outputs: channels that a block gives: 4 of flow, 1 of mask, the rest carried to the next block or unused.
        carried: how many of them the next block reads.
        scaled: convolutions are residual with a learnt factor a channel, and the tail shuffles pixels (from 4.5);
            before that, one residual spans the eight plain convolutions.
        prelu: activations learn their slope (4.0 and 4.1); else it is 0.2.
        features: channels that the head says about one frame alone; 0 for no head (before 4.7). A network with a head
            also renews the mask in each block, where one without adds to it.
        head_width: channels inside the head.
        deep_head: the head has four layers (from 4.10) and not two.
        groups: of the residual convolutions.
        ensemble: it may look both ways through time and take the mean.
    """

    number: str
    widths: tuple[int, ...] = (192, 128, 96, 64)
    scales: tuple[int, ...] = PYRAMID
    multiple: int = 32
    outputs: int = 6
    carried: int = 0
    scaled: bool = True
    prelu: bool = False
    features: int = 0
    head_width: int = 0
    deep_head: bool = True
    groups: int = 1
    ensemble: bool = True

    @property
    def name(self) -> str:
        """What the zoo calls it, `rife-4.12-lite`."""
        return "rife-" + self.number.replace(".lite", "-lite").replace(".heavy", "-heavy")

    @property
    def renews_mask(self) -> bool:
        """True if a block's mask replaces the one before it, False if it is added."""
        return self.features > 0

    def inputs(self, block: int) -> int:
        """Channels that a block reads: two pictures and their features, t; after the first also mask, carried, flow."""
        both = 2 * (3 + self.features) + 1
        return both if block == 0 else both + 1 + self.carried + 4


def plain(number: str, *, prelu: bool = False) -> Version:
    """4.0 to 4.4."""
    return Version(number, outputs=5, scaled=False, prelu=prelu)


def wide_head(number: str, *, widths: tuple[int, ...] = (192, 128, 96, 64), groups: int = 1) -> Version:
    """4.10 to 4.20, and 4.24."""
    return Version(number, widths=widths, features=8, head_width=32, groups=groups)


def lite(number: str, *, head_width: int = 32) -> Version:
    """4.12.lite to 4.17.lite, but for 4.14.lite."""
    return Version(number, widths=(128, 96, 64, 48), features=4, head_width=head_width)


def carrying(number: str, *, widths: tuple[int, ...], features: int = 8, head_width: int = 32) -> Version:
    """4.21 to 4.23."""
    return Version(
        number, widths=widths, outputs=13, carried=8, features=features, head_width=head_width, ensemble=False
    )


def tall(
    number: str,
    *,
    widths: tuple[int, ...] = (192, 128, 96, 64, 32),
    scales: tuple[int, ...] = TALL_PYRAMID,
    multiple: int = 64,
    features: int = 4,
    head_width: int = 16,
) -> Version:
    """4.25 and 4.26: five blocks."""
    return Version(
        number,
        widths=widths,
        scales=scales,
        multiple=multiple,
        outputs=13,
        carried=8,
        features=features,
        head_width=head_width,
        ensemble=False,
    )


def two_layers(number: str) -> Version:
    """4.7 to 4.9."""
    return Version(number, features=4, head_width=16, deep_head=False)


VERSIONS: tuple[Version, ...] = (
    plain("4.0", prelu=True),
    plain("4.1", prelu=True),
    plain("4.2"),
    plain("4.3"),
    plain("4.4"),
    Version("4.5", outputs=5),
    Version("4.6"),
    two_layers("4.7"),
    two_layers("4.8"),
    two_layers("4.9"),
    wide_head("4.10"),
    wide_head("4.11"),
    wide_head("4.12"),
    lite("4.12.lite"),
    wide_head("4.13"),
    lite("4.13.lite"),
    wide_head("4.14"),
    wide_head("4.14.lite", groups=2),
    wide_head("4.15"),
    lite("4.15.lite", head_width=16),
    lite("4.16.lite", head_width=16),
    wide_head("4.17"),
    lite("4.17.lite", head_width=16),
    wide_head("4.18"),
    wide_head("4.19"),
    wide_head("4.20", widths=(384, 192, 96, 48)),
    carrying("4.21", widths=(256, 192, 96, 48)),
    carrying("4.22", widths=(256, 192, 96, 48)),
    carrying("4.22.lite", widths=(192, 128, 64, 32), features=4, head_width=16),
    carrying("4.23", widths=(256, 192, 96, 48)),
    wide_head("4.24"),
    tall("4.25"),
    tall("4.25.lite", widths=(192, 128, 96, 64, 24), scales=(32, 16, 8, 4, 1), multiple=128),
    tall("4.25.heavy", widths=(384, 256, 192, 128, 64)),
    tall("4.26"),
    tall("4.26.heavy", features=16),
)
