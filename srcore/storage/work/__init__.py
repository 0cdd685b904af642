"""The work store of one scene: its plan, its tiles, and who made them. Gone when the product is published."""
