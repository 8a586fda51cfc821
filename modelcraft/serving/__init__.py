"""Models for many visitors, without a word of Gradio."""
