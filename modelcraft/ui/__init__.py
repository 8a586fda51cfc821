"""The app, the only package that imports Gradio: one file per tab, and what the tabs share."""
