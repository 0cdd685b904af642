"""What a map shows of a scene: tiles of its product, and of the LR that it was made of.

A scene lies in a square of tiles, Z/X/Y, of TILE_PX pixels each: that of the web's maps (Web Mercator) where it has a
place on the globe, else one of its own, in which a pixel at the last level is a pixel of the product. Both are read by
window and laid onto a tile in one way, so that they compare.
"""
