"""Draw theory against experiment, and make each figure citable.

>>> from weightdecay import figures
>>> figures.ids()[0]
'founding-question'

``report = figures.make("founding-question")`` trains and compares, ``figures.save(report, "founding-question", "out")``
draws and writes the eight files of a figure, ``figures.load(csv, json)`` reads a report back.
"""

from .bibliography import cite
from .bundle import load, redraw, save
from .catalogue import all_ids, further_ids, ids, make, references
from .checking import Finding, check
from .files import output_folder
from .gallery_index import write_index
from .html_report import check_page, load_all, write_report
from .pictures import draw_figure, figure_style

__all__ = [
    "Finding",
    "all_ids",
    "check",
    "check_page",
    "cite",
    "draw_figure",
    "figure_style",
    "further_ids",
    "ids",
    "load",
    "load_all",
    "make",
    "output_folder",
    "redraw",
    "references",
    "save",
    "write_index",
    "write_report",
]
