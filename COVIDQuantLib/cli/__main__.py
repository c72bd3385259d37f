"""``python -m COVIDQuantLib.cli``, for where the command is not on the path."""

import sys

from COVIDQuantLib.cli.main import main

sys.exit(main())
