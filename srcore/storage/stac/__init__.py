"""The STAC item beside a product."""
