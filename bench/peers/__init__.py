"""Peers: the code that a competent user would write without chatlab, or with another library."""
