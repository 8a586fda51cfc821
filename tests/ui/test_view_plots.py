"""Pictures are SVG in the page's ink, and odd characters in them are text."""

from xml.etree import ElementTree

import torch

from modelcraft.ui.plots import INK, heat, name_ticks, plot


def test_a_plot_is_one_svg_in_the_pages_ink_and_odd_characters_are_text():
    odd = "<&$\\^_{}$\n"

    def draw(axes):
        heat(axes, torch.tensor([[0.0, 1.0], [-1.0, float("-inf")]]), 1)
        name_ticks(axes, odd, odd)
        axes.text(0, 0, "<script>$x^2$", color=INK)

    made = plot("title", "alt", draw)
    root = ElementTree.fromstring(made["svg"])
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"<", "&", "$", "\\", "⏎", "<script>$x^2$"} <= set(texts)
    assert not any(node.tag.endswith("script") for node in root.iter())
    assert "currentColor" in made["svg"]
    assert INK not in made["svg"]
