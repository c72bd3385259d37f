"""The statistical methods: libraries do the arithmetic, each result names its method and how it was chosen."""
