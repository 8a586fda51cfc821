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
.gradio-container { width: 100% !important; max-width: none !important; }
.gradio-container > .main { width: 100% !important; max-width: 52rem !important; margin: 0 auto !important; }
.gradio-container :focus-visible { outline: 2px solid #a8412a !important; outline-offset: 2px; }
.dark .gradio-container :focus-visible, .gradio-container.dark :focus-visible { outline-color: #e09a86 !important; }

#title { text-align: center; padding: 1.1rem 0 0; }
#title h1 { font-size: 2.1rem; font-weight: 500; letter-spacing: .02em; margin: 0; color: inherit; }
#title p { font-style: italic; margin: .15rem 0 0; color: var(--body-text-color-subdued); }

/* The tabs: quiet, as the names of chapters. */
#tabs .tab-wrapper {
  padding: 0; margin-bottom: .7rem; width: min(72rem, 100vw - 2rem); position: relative; left: 50%;
  transform: translateX(-50%); z-index: 10;
}
#tabs .tab-container { justify-content: center; gap: .8rem; }
#tabs .tab-container::after { display: none; }
#tabs .tab-container > button {
  padding: 0 .5rem; font-size: 1.05rem; font-variant-caps: all-small-caps; letter-spacing: .1em;
  color: var(--body-text-color-subdued); background: none;
}
#tabs .tab-container > button:hover, #tabs .tab-container > button.selected { color: var(--body-text-color); }
#tabs .tab-container > button.selected::after { background-color: #a8412a; }

/* The page. Its height is fixed, so that nothing below it jumps while it is written. */
.mc-script {
  height: clamp(15rem, calc(100dvh - 32rem), 34rem); overflow-y: auto; overscroll-behavior: contain;
  background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary); border-radius: 2px;
  box-shadow: 0 1px 2px rgb(60 45 20 / .12), 0 10px 30px -18px rgb(60 45 20 / .45);
  padding: 1.6rem clamp(1rem, 6vw, 3.4rem); font-family: var(--font); font-size: 1.06rem; line-height: 1.55;
}
.mc-script-note:empty { display: none; }
.mc-script-note { margin: .4rem .2rem 0; font-style: italic; color: #8c2f1b; }
.dark .mc-script-note { color: #e9a491; }
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
.mc-writing :is(.mc-text, .mc-lane-text)::after {
  content: ""; display: inline-block; width: .5em; height: 1em; margin-left: 1px; vertical-align: -.15em;
  background: currentColor; opacity: .55; animation: mc-caret 1s steps(2) infinite;
}
@keyframes mc-caret { 50% { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .mc-writing :is(.mc-text, .mc-lane-text)::after { animation: none; } }

#script .html-container, #status .html-container, #race .html-container { padding: 0 !important; }
.dark input[type="range"] { --neutral-200: #453d32; }
footer .divider:last-child, footer .divider:only-child { display: none; }
#status { min-height: 1.5rem; }
:is(#seed, #race-seed) :is(input, textarea):focus-visible { outline: 2px solid #a8412a !important; }
.dark :is(#seed, #race-seed) :is(input, textarea):focus-visible { outline-color: #e09a86 !important; }
#api pre, #api code { white-space: pre-wrap; overflow-wrap: anywhere; }
.mc-plain {
  margin: 0; min-height: 1.3em; font-size: .86rem; text-align: center; white-space: pre-wrap;
  color: var(--body-text-color-subdued);
}
.mc-desk { flex-wrap: nowrap; align-items: stretch; }
.mc-desk textarea { font-size: 1.06rem; border: 1px solid var(--input-border-color); border-radius: 4px; }
.mc-desk button { flex: 0 0 6rem !important; }
.mc-examples { gap: .4rem; flex-wrap: wrap; justify-content: center; }
.mc-examples button {
  flex: 0 1 auto !important; width: auto; border: 1px solid #a89a80; border-radius: 999px; font-style: italic;
  font-weight: 400; padding: .2rem .8rem; white-space: nowrap; max-width: 100%; overflow: hidden;
  text-overflow: ellipsis;
}
#model { padding: .3rem 0; }
#model .container { display: flex; align-items: center; gap: .9rem; }
#model [data-testid="block-info"] { margin: 0; }
#model .wrap { flex: 1; border: 1px solid var(--input-border-color); border-radius: 4px; box-shadow: none; }
#model .wrap:focus-within { outline: 2px solid #a8412a; outline-offset: 2px; box-shadow: none; }
.dark #model .wrap:focus-within { outline-color: #e09a86; }
#model input { outline: 0 !important; text-overflow: ellipsis; padding-right: 2rem; }
.gradio-container div.options {
  background: #fffdf6; border: 1px solid var(--input-border-color); border-radius: 4px; font-size: .95rem;
  box-shadow: 0 10px 30px -14px rgb(60 45 20 / .5);
}
:is(.dark .gradio-container, .gradio-container.dark) div.options { background: #211d19; }
#tools { gap: .2rem; justify-content: center; flex-wrap: nowrap; }
#tools button { flex: 0 0 4.2rem !important; font-weight: 400; color: var(--body-text-color-subdued); }
.mc-examples button:hover, #tools button:hover { color: var(--body-text-color); background: rgb(140 47 27 / .08); }
.gradio-container .form { background: transparent; gap: .4rem 1.4rem; border: 0; }
.gradio-container .form > .block { padding: .3rem 0; }
:is(#seed, #race-seed) :is(input, textarea) { border: 1px solid var(--input-border-color); }
#more, #api { border: 0; border-top: 1px solid var(--border-color-primary); border-radius: 0; }


/* The race: one sheet with a column for each rung, wider than the rest where there is room. Fixed in height, too. */
.mc-race {
  display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); grid-template-rows: auto auto 1fr auto;
  height: clamp(20rem, calc(100dvh - 31rem), 36rem);
  width: min(100vw - 4rem, 84rem); position: relative; left: 50%; transform: translateX(-50%);
  background: #fffdf6; color: #241f1a; border: 1px solid var(--border-color-primary); border-radius: 2px;
  box-shadow: 0 1px 2px rgb(60 45 20 / .12), 0 10px 30px -18px rgb(60 45 20 / .45); font-family: var(--font);
}
.dark .mc-race { background: #1f1b17; color: #ece4d4; box-shadow: none; }
.mc-race:empty::before {
  content: "An empty sheet. Choose up to four rungs below."; margin: 4rem auto 0; font-style: italic; color: #6b604e;
}
.mc-lane {
  grid-row: 1 / -1; display: grid; grid-template: subgrid / 1fr auto; column-gap: .6rem; align-items: baseline;
  min-width: 0; min-height: 0; padding: 1.2rem 1.5rem .8rem;
  /* The exact loss as a bar along the top: a column is as wide as the loss of guessing. */
  background: linear-gradient(#a8412a, #a8412a) no-repeat 0 0 / calc(100% * var(--loss, 0)) 4px;
}
.dark .mc-lane { background-image: linear-gradient(#cf7359, #cf7359); }
.mc-lane + .mc-lane { border-left: 1px solid var(--border-color-primary); }
.mc-race .mc-lane-name { font-size: 1.2rem; font-weight: 500; line-height: 1.4; margin: 0; color: inherit; }
.mc-lane-loss, .mc-lane-foot { font-size: .86rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.mc-lane-loss { text-align: right; }
.mc-lane-adds { grid-column: 1 / -1; margin: 0 0 .8rem; font-style: italic; font-size: .9rem; line-height: 1.35; }
.mc-lane-page {
  grid-column: 1 / -1; height: 100%; height: round(down, 100%, 1lh); align-self: start; overflow-y: auto;
  overscroll-behavior: contain; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1rem; line-height: 1.5;
}
.mc-lane-said { color: #8c2f1b; }
.dark .mc-lane-said { color: #e9a491; }
.mc-race .mc-lane-note { margin: 0; font-style: italic; white-space: normal; }
.mc-lane-foot { grid-column: 1 / -1; margin: .6rem 0 0; }
.mc-lane-speed:not(:empty)::before { content: " · up to "; }
.mc-lane-speed:not(:empty)::after { content: " characters/s"; }
.mc-lane-loss, .mc-lane-adds, .mc-lane-note, .mc-lane-foot { color: #6b604e; }
.dark :is(.mc-lane-loss, .mc-lane-adds, .mc-lane-note, .mc-lane-foot), .dark .mc-race:empty::before { color: #b5a88f; }
.mc-question {
  margin: .3rem 0 .2rem; text-align: center; font-style: italic; color: var(--body-text-color-subdued);
}
.mc-pills [data-testid="block-info"] { margin-bottom: .4rem; }
.mc-pills .wrap { gap: .4rem; }
.mc-pills label {
  position: relative; padding: .15rem .75rem; border: 1px solid var(--input-border-color); border-radius: 999px;
  background: none; box-shadow: none; color: var(--body-text-color); font-size: .9rem;
}
.mc-pills label span { margin: 0; }
.mc-pills input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0; cursor: pointer; }
.mc-pills label.selected { background: #453d32; border-color: #453d32; color: #fffaf0; }
.dark .mc-pills label.selected { background: #cfc2a8; border-color: #cfc2a8; color: #1e1a16; }
.mc-pills label:has(:focus-visible) { outline: 2px solid #a8412a; outline-offset: 2px; }
.dark .mc-pills label:has(:focus-visible) { outline-color: #e09a86; }
#race-rungs .wrap:has(> :nth-child(4 of .selected)) label:not(.selected) {
  color: var(--body-text-color-subdued); border-style: dashed;
}
#race-dials .form { display: grid; grid-template-columns: 1fr 1fr; }

@media (max-width: 800px) { #status { min-height: 2.7rem; } }
@media (max-width: 1000px) {
  .mc-race { grid-auto-flow: row; grid-template: none / 1fr 1fr; grid-auto-rows: 16rem; height: auto; width: 100%; }
  .mc-lane { grid-row: auto; grid-template: auto auto minmax(0, 1fr) auto / 1fr auto; }
  .mc-lane:nth-child(odd) { border-left-width: 0; }
  .mc-lane:nth-child(n + 3) { border-top: 1px solid var(--border-color-primary); }
}
@media (max-width: 640px) {
  .mc-race { grid-template-columns: 1fr; grid-auto-rows: clamp(8.6rem, calc((100dvh - 19rem) / 4), 13rem); }
  .mc-lane { grid-template-rows: auto auto minmax(0, 1fr); padding: .45rem 1rem .4rem; }
  .mc-lane + .mc-lane { border-width: 1px 0 0; border-top: 1px solid var(--border-color-primary); }
  .mc-race .mc-lane-name { font-size: 1.05rem; }
  .mc-lane-adds { margin: 0 0 .25rem; }
  .mc-told .mc-lane-adds { grid-column: 1; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
  .mc-lane-foot { grid-area: 2 / 2; margin: 0; text-align: right; }
  .mc-lane-size { display: none; }
  .mc-lane-speed:not(:empty)::before { content: none; }
  .mc-lane-speed:not(:empty)::after { content: "/s"; }
  .mc-lane-page { grid-row: 3; font-size: .97rem; line-height: 1.4; overscroll-behavior: auto; }
  #race-dials .form { grid-template-columns: 1fr; }
  .mc-question { margin: 0; font-size: .95rem; line-height: 1.35; }
  #status { min-height: 4rem; }
  .mc-script { height: clamp(14rem, 45dvh, 26rem); padding: 1.1rem 1rem; }
  #title h1 { font-size: 1.7rem; }
  #title { padding-top: 0; }
  .mc-desk button { flex-basis: 5rem !important; }
}
"""
