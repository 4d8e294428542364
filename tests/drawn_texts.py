"""What a reader sees of the texts in a figure that was drawn."""

import itertools

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Text


def shown(figure):
    """Return all texts that are drawn; ticks beyond the limits have labels, but Matplotlib does not draw them."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in texts if text not in hidden]


def too_small(figure):
    """Return the texts under six points, and those that Matplotlib sets as formulas, with smaller raised signs."""
    return [text.get_text() for text in shown(figure) if text.get_fontsize() < 6 or "$" in text.get_text()]


def overlapping(figure):
    """Return the pairs of texts that lie on each other."""
    boxes = _boxes(figure)
    return [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.shrunk(0.98, 0.9).overlaps(two)]


def beyond_the_edge(figure):
    """Return the texts that are cut off by the edge of the paper."""
    paper = figure.bbox.padded(0.5)
    return [
        text
        for text, box in _boxes(figure)
        if box.x0 < paper.x0 or box.x1 > paper.x1 or box.y0 < paper.y0 or box.y1 > paper.y1
    ]


def luminance(colour):
    """Return the relative luminance of a colour, as the contrast of web pages is defined."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], parts))


def too_pale(figure):
    """Return the texts whose contrast on white is under 4.5, with it."""
    contrasts = {text.get_text(): 1.05 / (luminance(text.get_color()) + 0.05) for text in shown(figure)}
    return {text: contrast for text, contrast in contrasts.items() if contrast < 4.5}


def _boxes(figure):
    return [(text.get_text(), Text.get_window_extent(text)) for text in shown(figure)]  # without arrows
