"""Pictures and label maps of CLEVR scenes, at any resolution and crop."""

import dataclasses
import math

import numpy as np

from slot_attention_tf.data.generators import clevr_shading as shading
from slot_attention_tf.data.generators.ray_geometry import (
    dot,
    level_axes,
    nearest,
    normalize,
    put,
    vector,
)

# The frame in which the field of view, crops and pixel counts are given.
FRAME = (240, 320)
FOCAL_LENGTH = 350.0

# Pixels that differ from a neighbour by more than this share of the range are drawn
# again as the mean of four rays.
_EDGE = 0.04
_SUBPIXELS = ((-0.15, -0.45), (0.45, -0.15), (-0.45, 0.15), (0.15, 0.45))


@dataclasses.dataclass(frozen=True)
class Camera:
    """A level camera at `position` that looks at the origin."""

    position: tuple

    def project(self, points):
        """Maps points to rows, columns and depths in the 240x320 frame.

        Args:
            points: float `[n, 3]`.

        Returns:
            A tuple of float64 `[n]` arrays.
        """
        offset = (np.asarray(points, np.float64) - np.array(self.position)).T
        right, up, back = (dot(offset, axis) for axis in level_axes(self.position))
        row = FRAME[0] / 2 + FOCAL_LENGTH * up / back
        return row, FRAME[1] / 2 - FOCAL_LENGTH * right / back, -back

    def directions(self, rows, columns):
        """Unit directions through points of the 240x320 frame.

        Args:
            rows: float `[n]`; pixel `i` spans `i` to `i + 1`.
            columns: float `[n]`.

        Returns:
            float32 `[3, n]`.
        """
        right, up, back = level_axes(self.position)
        x = ((columns - FRAME[1] / 2) / FOCAL_LENGTH).astype(np.float32)
        y = ((FRAME[0] / 2 - rows) / FOCAL_LENGTH).astype(np.float32)
        return normalize(vector(*right) * x + vector(*up) * y - vector(*back))


@dataclasses.dataclass(frozen=True)
class View:
    """The part of the 240x320 frame that is drawn, and its pixels.

    Args:
        resolution: tuple of two integers, height and width of the image.
        window: tuple of four integers: first and last (exclusive) row, then columns.
    """

    resolution: tuple
    window: tuple

    @property
    def pixels_per_frame_pixel(self):
        """Height and width of a pixel of the frame, in pixels of the image."""
        top, bottom, left, right = self.window
        height, width = self.resolution
        return height / (bottom - top), width / (right - left)

    def grid(self, shift=(0.0, 0.0)):
        """Rows and columns in the frame of all pixel centres, `[height * width]`."""
        rows, columns = np.mgrid[: self.resolution[0], : self.resolution[1]]
        return self.to_frame(rows.ravel() + shift[0], columns.ravel() + shift[1])

    def to_frame(self, rows, columns):
        """Maps indices of pixels, at their centres, to points of the frame."""
        dy, dx = self.pixels_per_frame_pixel
        return self.window[0] + (rows + 0.5) / dy, self.window[2] + (columns + 0.5) / dx

    def from_frame(self, rows, columns):
        """Maps points of the frame to points of the image."""
        dy, dx = self.pixels_per_frame_pixel
        return (rows - self.window[0]) * dy, (columns - self.window[2]) * dx

    def uncropped(self):
        """The view of at least the whole frame whose pixels include this one's.

        Returns:
            A tuple of a `View` and the row and column of this view's first pixel.
        """
        dy, dx = self.pixels_per_frame_pixel
        top, bottom, left, right = self.window
        above, under = math.ceil(top * dy), math.ceil((FRAME[0] - bottom) * dy)
        before, after = math.ceil(left * dx), math.ceil((FRAME[1] - right) * dx)
        height = above + self.resolution[0] + under
        width = before + self.resolution[1] + after
        window = (
            top - above / dy,
            bottom + under / dy,
            left - before / dx,
            right + after / dx,
        )
        return View((height, width), window), (above, before)


def find_hits(scene, camera, view):
    """Finds which solid each pixel's centre shows, and how far away it is.

    Args:
        scene: a `Scene`.
        camera: a `Camera`.
        view: a `View`.

    Returns:
        A tuple of int64 and float32 `[height * width]`, as `nearest` returns.
    """
    directions = camera.directions(*view.grid())
    return nearest(scene.solids, vector(*camera.position), directions)


def render_labels(scene, camera, view, hits=None):
    """Draws which solid each pixel's centre shows.

    Args:
        scene: a `Scene`.
        camera: a `Camera`.
        view: a `View`.
        hits: What `find_hits` returns of the three, if that is known.

    Returns:
        uint8 `[height, width]`: 0 for the background, `i + 1` for `scene.solids[i]`.
    """
    labels, _ = hits or find_hits(scene, camera, view)
    return labels.astype(np.uint8).reshape(view.resolution)


def render_image(scene, camera, view, hits=None):
    """Draws a scene, with smooth edges.

    Args:
        scene: a `Scene`.
        camera: a `Camera`.
        view: a `View`.
        hits: What `find_hits` returns of the three, if that is known.

    Returns:
        uint8 `[height, width, 3]`, sRGB.
    """

    def render(rows, columns, hits=None):
        directions = camera.directions(*view.to_frame(rows, columns))
        origins = np.broadcast_to(vector(*camera.position), directions.shape)
        # Four times white is enough to keep highlights bright in a mean.
        return np.minimum(shading.radiance(scene, origins, directions, hits=hits), 4)

    rows, columns = (
        axis.ravel() for axis in np.mgrid[: view.resolution[0], : view.resolution[1]]
    )
    light = render(rows, columns, hits)
    edges = _edges(_to_srgb(light).reshape(3, *view.resolution))
    rows, columns = rows[edges], columns[edges]
    shifts = np.array(_SUBPIXELS)[:, :, None]
    samples = render((rows + shifts[:, 0]).ravel(), (columns + shifts[:, 1]).ravel())
    samples = samples.reshape(3, len(_SUBPIXELS), -1)
    put(light, edges, samples.sum(axis=1) * np.float32(1 / len(_SUBPIXELS)))
    return _to_srgb(light).T.reshape(*view.resolution, 3)


def _edges(image):
    """Indices of the pixels next to a jump in colour; `image` is `[3, h, w]`."""
    image = image.astype(np.int16)
    edges = np.zeros(image.shape[1:], bool)
    down = (np.abs(np.diff(image, axis=1)) > 255 * _EDGE).any(axis=0)
    right = (np.abs(np.diff(image, axis=2)) > 255 * _EDGE).any(axis=0)
    edges[:-1] |= down
    edges[1:] |= down
    edges[:, :-1] |= right
    edges[:, 1:] |= right
    return np.flatnonzero(edges)


def _srgb_thresholds():
    """Linear light at which the rounded sRGB code goes from `i` to `i + 1`."""
    thresholds = []
    for i in range(255):
        code = (i + 0.5) / 255
        if code <= 0.04045:
            thresholds.append(code / 12.92)
        else:
            thresholds.append(((code + 0.055) / 1.055) ** 2.4)
    return np.array(thresholds, np.float32)


_SRGB_THRESHOLDS = _srgb_thresholds()


def _to_srgb(light):
    return np.searchsorted(_SRGB_THRESHOLDS, light).astype(np.uint8)
