"""How it looks: the page of a printed play, by day and by night. Fonts are those of the visitor's machine."""

import gradio as gr
from gradio.themes import Color

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


def theme() -> gr.themes.Base:
    """Return the theme: ink on paper, and one red, as printers had it."""
    return gr.themes.Base(primary_hue=_RUBRIC, neutral_hue=_INK, font=list(SERIF), font_mono=list(MONO)).set(
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


CSS = """
.gradio-container { width: 100% !important; max-width: 52rem !important; margin: 0 auto !important; }
.gradio-container :focus-visible { outline: 2px solid #a8412a !important; outline-offset: 2px; }
.dark .gradio-container :focus-visible, .gradio-container.dark :focus-visible { outline-color: #e09a86 !important; }

#title { text-align: center; padding: 1.1rem 0 0; }
#title h1 { font-size: 2.1rem; font-weight: 500; letter-spacing: .02em; margin: 0; color: inherit; }
#title p { font-style: italic; margin: .15rem 0 0; color: var(--body-text-color-subdued); }

/* The page. Its height is fixed, so that nothing below it jumps while it is written. */
.mc-script {
  height: clamp(15rem, calc(100dvh - 30rem), 34rem); overflow-y: auto; overscroll-behavior: contain;
  background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary); border-radius: 2px;
  box-shadow: 0 1px 2px rgb(60 45 20 / .12), 0 10px 30px -18px rgb(60 45 20 / .45);
  padding: 1.6rem clamp(1rem, 6vw, 3.4rem); font-family: var(--font); font-size: 1.06rem; line-height: 1.55;
}
.dark .mc-script { background: #1f1b17; color: #ece4d4; box-shadow: none; }
.mc-script:empty::before {
  content: "An empty page. Write a line below, or take one of those offered, and the model goes on with it.";
  display: block; margin: 4rem auto 0; max-width: 26rem; text-align: center; font-style: italic; color: #6b604e;
}
.dark .mc-script:empty::before { color: #b5a88f; }
.mc-turn + .mc-turn[data-who="you"] {
  margin-top: 1.3rem; padding-top: 1.1rem; border-top: 1px solid var(--border-color-primary);
}
.mc-who {
  display: block; font-size: .78rem; letter-spacing: .09em; font-variant-caps: all-small-caps; user-select: none;
  color: #6b604e; margin-top: .45rem;
}
.dark .mc-who { color: #b5a88f; }
.mc-text { white-space: pre-wrap; overflow-wrap: anywhere; }
.mc-turn[data-who="you"] .mc-text { color: #8c2f1b; }
.dark .mc-turn[data-who="you"] .mc-text { color: #e9a491; }
.mc-writing .mc-text::after {
  content: ""; display: inline-block; width: .5em; height: 1em; margin-left: 1px; vertical-align: -.15em;
  background: currentColor; opacity: .55; animation: mc-caret 1s steps(2) infinite;
}
@keyframes mc-caret { 50% { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .mc-writing .mc-text::after { animation: none; } }

#script .html-container, #status .html-container { padding: 0 !important; }
.dark input[type="range"] { --neutral-200: #453d32; }
footer .divider:last-child, footer .divider:only-child { display: none; }
#status { min-height: 1.5rem; }
#seed input:focus-visible, #seed textarea:focus-visible { outline: 2px solid #a8412a !important; }
.dark #seed input:focus-visible, .dark #seed textarea:focus-visible { outline-color: #e09a86 !important; }
#api pre, #api code { white-space: pre-wrap; overflow-wrap: anywhere; }
.mc-plain {
  margin: 0; min-height: 1.3em; font-size: .86rem; text-align: center; white-space: pre-wrap;
  color: var(--body-text-color-subdued);
}
#desk { flex-wrap: nowrap; align-items: stretch; }
#desk textarea { font-size: 1.06rem; border: 1px solid var(--input-border-color); border-radius: 4px; }
#desk button { flex: 0 0 6rem !important; }
#examples { gap: .4rem; flex-wrap: wrap; justify-content: center; }
#examples button {
  flex: 0 1 auto !important; width: auto; border: 1px solid #a89a80; border-radius: 999px; font-style: italic;
  font-weight: 400; padding: .2rem .8rem; white-space: nowrap; max-width: 100%; overflow: hidden;
  text-overflow: ellipsis;
}
#tools { gap: .2rem; justify-content: center; flex-wrap: nowrap; }
#tools button { flex: 0 0 4.2rem !important; font-weight: 400; color: var(--body-text-color-subdued); }
#examples button:hover, #tools button:hover { color: var(--body-text-color); background: rgb(140 47 27 / .08); }
.gradio-container .form { background: transparent; gap: .4rem 1.4rem; border: 0; }
.gradio-container .form > .block { padding: .3rem 0; }
#seed input, #seed textarea { border: 1px solid var(--input-border-color); }
#more, #api { border: 0; border-top: 1px solid var(--border-color-primary); border-radius: 0; }

@media (max-width: 800px) { #status { min-height: 2.7rem; } }
@media (max-width: 640px) {
  #status { min-height: 4rem; }
  .mc-script { height: clamp(14rem, 45dvh, 26rem); padding: 1.1rem 1rem; }
  #title h1 { font-size: 1.7rem; }
  #title { padding-top: 0; }
  #desk button { flex-basis: 5rem !important; }
}
"""
