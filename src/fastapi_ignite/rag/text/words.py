"""Lists the words that the index and questions leave out."""

from __future__ import annotations

import re


def word_list(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Lucene's English list: words that carry nothing in either place
STOP_WORDS = word_list(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
    "this to was will with"
)
# Words that ask. They say nothing about what a document holds, and in a small project, where they are absent, their
# IDF would be the highest of all. Those of other languages are here when no English content word is spelled alike.
QUESTION_WORDS = word_list(
    "what which who whom whose when where why how do does did done has have had can could would should may might "
    "must shall am were been being i me my we our you your he she his her its many much any some please tell "
    "about from than also que quien quienes cual cuales como donde cuando cuanto cuantos cuanta cuantas por quel "
    "quelle quels quelles quoi pourquoi quand combien est wer wie wo wann warum welche welcher welches wieviel "
    "quale quali quando dove perche quanto quanti qual quais quem onde"
)
# The same in Chinese, whose words no blank sets off: what, how many, how long, where, which, who, how, whether.
# Some are Japanese too.
QUESTION_PHRASES = re.compile(
    "\u4e3a\u4ec0\u4e48|\u70ba\u4ec0\u9ebc|\u4ec0\u4e48|\u4ec0\u9ebc|\u591a\u5c11|\u591a\u4e45|\u591a\u957f|\u591a\u9577|"
    "\u54ea\u91cc|\u54ea\u88e1|\u54ea\u4e2a|\u54ea\u500b|\u54ea\u4e9b|\u54ea|\u8c01|\u8ab0|"
    "\u600e\u4e48|\u600e\u9ebc|\u600e\u6837|\u600e\u6a23|\u5982\u4f55|\u662f\u5426|\u51e0|\u5e7e|\u5417|\u55ce|\u5462"
)
