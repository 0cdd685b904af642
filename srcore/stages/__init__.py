"""The path of a scene: plan, ingest, upscale, export, validate. A stage reads the files of the ones before."""
