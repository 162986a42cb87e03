"""Lists the control words of RTF that stand for a character, and those that begin a group to keep or to leave out."""

from __future__ import annotations

from typing import Final

# fmt: off
CHARACTERS: Final = {
    "tab": "\t", "line": "\n", "lbr": "\n", "softline": "\n", "emdash": "—", "endash": "\u2013", "emspace": "\u2003",
    "enspace": "\u2002", "qmspace": "\u2005", "bullet": "•", "lquote": "\u2018", "rquote": "\u2019",
    "ldblquote": "“", "rdblquote": "”", "zwj": "\u200d", "zwnj": "\u200c", "zwbo": "\u200b", "zwnbo": "\u2060",
    "ltrmark": "\u200e", "rtlmark": "\u200f",
}
# A hyphen that does not break is found as a hyphen; an optional one shows only where a line ends.
SYMBOLS: Final = {b"~": "\u00a0", b"_": "-", b"-": "", b"\t": "\t"}
PARAGRAPH_ENDS: Final = frozenset({"par", "sect", "page", "column"})
HEADERS: Final = ("header", "headerl", "headerr", "headerf")
FOOTERS: Final = ("footer", "footerl", "footerr", "footerf")
# the number or bullet of a list item, written for programs that do not count
LABELS: Final = ("listtext", "pntext")
# groups that are left out, whether or not a star says that programs may do so
SKIPPED: Final = frozenset({
    # tables and descriptions of the file
    "colortbl", "filetbl", "info", "listtable", "listoverridetable", "revtbl", "rsidtbl", "pgptbl", "latentstyles",
    "themedata", "colorschememapping", "datastore", "xmlnstbl", "generator", "template", "private", "nextfile",
    "userprops", "docvar", "mailmerge", "background", "falt", "panose", "fname", "fontemb", "fontfile",
    # pictures and embedded data, and what older programs show in place of a drawing
    "pict", "nonshppict", "shppict", "objdata", "objclass", "objname", "objalias", "objsect", "shprslt", "sp",
    "mmathPict", "blipuid", "picprop",
    # instructions of fields, places and entries of an index
    "fldinst", "formfield", "datafield", "bkmkstart", "bkmkend", "xe", "tc", "tcn", "atnid", "atnref", "atntime",
    "atndate", "atnparent", "atnicn", "atrfstart", "atrfend", "mvfmf", "mvfml", "mvtof", "mvtol",
    # separators of notes, and list numbers of old programs, which `pntext` writes
    "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc", "aftncn", "pn", "pnseclvl", "pntxta", "pntxtb",
    # for programs that know no nested tables
    "nonesttables",
})
# groups with a star whose text is read
KEPT: Final = frozenset({
    "shpinst", "shptxt", "do", "dptxbxtext", "ud", "footnote", "annotation", "atnauthor", "nesttableprops", "moMath",
    "moMathPara", "fldrslt", "listtext", "pntext", "cs",
})
# fmt: on
