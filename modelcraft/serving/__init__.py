"""Serve models to many visitors, independently of Gradio."""
