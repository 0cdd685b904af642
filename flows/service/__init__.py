"""What `srcore serve` does besides starting a server: it is alone on its store, and follows catalog, files and runs."""
