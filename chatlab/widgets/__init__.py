"""Widgets for a notebook: the chat panel, its views, and the explorers."""
