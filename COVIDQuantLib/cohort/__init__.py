"""Many patients: a manifest of exams, quantified one by one on Dask, and the data set of all figures."""
