"""`python -m srcore`: the command line, which stands above this package, by its name alone."""

from importlib import import_module

import_module("flows.command").main()
