"""What people see in a notebook: the chat panel, its views, and the explorers."""
