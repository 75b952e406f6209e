"""Proof that frozen rows did not change, bit for bit."""
