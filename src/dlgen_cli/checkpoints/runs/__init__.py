"""What dlgen itself writes: run directories, posteriors, anchors, low-rank factors."""
