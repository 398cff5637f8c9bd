"""Benchmarks of chatlab and its peers."""
