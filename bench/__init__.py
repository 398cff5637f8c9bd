"""Measurements of chatlab beside its peers."""
