"""Whether a CT can be quantified, and what the reader should know about it."""
