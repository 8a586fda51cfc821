"""The app: one file a tab, and what the tabs share. Only here is Gradio imported."""
