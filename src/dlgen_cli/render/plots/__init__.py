"""Plots, drawn without a display and without global state."""
