"""Scene generators in plain NumPy: seeded, and usable without TensorFlow.

Every module has a `draw_scene(rng, **options)` that draws one scene; `scenes.py`
turns it into many scenes, on all cores.
"""
