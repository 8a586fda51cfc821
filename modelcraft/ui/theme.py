"""The look of the page: a printed play, in light and dark mode, with the fonts of the visitor's machine."""

import gradio as gr
from gradio.themes import Color
from gradio.themes.utils.sizes import Size, spacing_md, text_md

SERIF = ("Iowan Old Style", "Palatino Linotype", "Palatino", "Book Antiqua", "Georgia", "serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

_INK = Color(
    name="ink",
    c50="#faf6ec",
    c100="#f3ecdc",
    c200="#e5dbc5",
    c300="#cfc2a8",
    c400="#a89a80",
    c500="#7d715c",
    c600="#5e5444",
    c700="#453d32",
    c800="#2b2620",
    c900="#1e1a16",
    c950="#151210",
)
_RUBRIC = Color(
    name="rubric",
    c50="#fbefeb",
    c100="#f6dcd4",
    c200="#ecb9aa",
    c300="#e09a86",
    c400="#cf7359",
    c500="#a8412a",
    c600="#8c2f1b",
    c700="#742513",
    c800="#5c1d10",
    c900="#45160c",
    c950="#2c0d07",
)


def _in_rem(size: Size) -> Size:
    """Return Gradio's own sizes as multiples of the page's type, which grows on a projector."""
    steps = zip(("xxs", "xs", "sm", "md", "lg", "xl", "xxl"), size.expand(), strict=True)
    return Size(**{step: f"{float(pixels.removesuffix('px')) / 16}rem" for step, pixels in steps})


def theme() -> gr.themes.Base:
    """Return the theme: ink on paper and one red, as in old printed books."""
    return gr.themes.Base(
        primary_hue=_RUBRIC,
        neutral_hue=_INK,
        font=list(SERIF),
        font_mono=list(MONO),
        text_size=_in_rem(text_md),
        spacing_size=_in_rem(spacing_md),
    ).set(
        body_background_fill="#f6f0e2",
        body_background_fill_dark="#171411",
        body_text_color="#2b2620",
        body_text_color_dark="#ebe3d3",
        body_text_color_subdued="#5e5444",
        body_text_color_subdued_dark="#b5a88f",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_label_text_color="#453d32",
        block_label_text_color_dark="#cfc2a8",
        block_title_text_color="#453d32",
        block_title_text_color_dark="#cfc2a8",
        block_info_text_color="#5e5444",
        block_info_text_color_dark="#b5a88f",
        block_shadow="none",
        input_background_fill="#fffdf7",
        input_background_fill_dark="#211d19",
        input_border_color="#8f836d",
        input_border_color_dark="#7d715c",
        button_primary_background_fill="#8c2f1b",
        button_primary_background_fill_hover="#742513",
        button_primary_background_fill_dark="#a8412a",
        button_primary_background_fill_hover_dark="#8c2f1b",
        button_primary_text_color="#fffaf0",
        button_cancel_background_fill="#2b2620",
        button_cancel_background_fill_hover="#453d32",
        button_cancel_background_fill_dark="#ebe3d3",
        button_cancel_background_fill_hover_dark="#cfc2a8",
        button_cancel_text_color="#fffaf0",
        button_cancel_text_color_dark="#1e1a16",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_border_color="#a89a80",
        button_secondary_border_color_dark="#5e5444",
        button_secondary_text_color="#453d32",
        button_secondary_text_color_dark="#e5dbc5",
        border_color_primary="#d9cdb4",
        border_color_primary_dark="#3a332a",
        input_placeholder_color="#6f6450",
        input_placeholder_color_dark="#a89a80",
        layout_gap="10px",
        slider_color="#8c2f1b",
        slider_color_dark="#cf7359",
    )
