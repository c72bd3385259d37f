"""The command line ``covidquant``."""
