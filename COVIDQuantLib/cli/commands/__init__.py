"""The subcommands of ``covidquant``, one module each, as ``cli/main.py`` lists them."""
