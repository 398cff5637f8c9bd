"""The chat console in a terminal: `chatlab chat URL`."""
