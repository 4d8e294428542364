"""Derive, symbolically and with every step proven, what weight decay does to the size of weights."""
