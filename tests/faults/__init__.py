"""Faults in whole runs of the command: failing calls, kills, a full disk, a loss of power."""
