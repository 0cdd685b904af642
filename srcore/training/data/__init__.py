"""What a generator is trained on: pairs, their places, patches and degradation."""
