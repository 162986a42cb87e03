"""Lists the words that the index and questions leave out."""

from __future__ import annotations


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
