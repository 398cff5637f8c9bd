"""Fast-forward of heartbeats: those that change nothing are added up instead of simulated one by one."""
