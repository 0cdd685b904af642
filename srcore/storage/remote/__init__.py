"""Scenes that lie elsewhere: in a bucket, on the web, in a STAC catalog. Nothing of them reaches GDAL but files.

    listing -> a card a scene, a small file that says what the scene is elsewhere; it stands for it as its source
    reading -> the card's files, fetched into the bounded cache, read by the same door as any file

A scene is due when its card changed: no pixel is fetched to know that.
"""
