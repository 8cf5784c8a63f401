"""Implicit regularization: what theory predicts, and real runs to set beside it.

numpy and scipy only, float64 throughout. Linear regression: `problems`, `optimizers`, `linear`.
Matrix factorization: `matrix` (closed forms), `flow` (depth 3 and more), `factorization` (the
run), `targets`.
"""
