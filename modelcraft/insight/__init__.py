"""Views into a model."""
