"""Run networks on a CT: preprocessing, inference and postprocessing."""
