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
# The same in other scripts, as `spelling.py` writes them; in Hindi with the words that stand in every sentence.
QUESTION_WORDS |= word_list(
    # Russian and Ukrainian
    "\u0447\u0442\u043e \u043a\u0442\u043e \u0433\u0434\u0435 \u043a\u043e\u0433\u0434\u0430 "
    "\u043a\u0430\u043a \u043a\u0430\u043a\u043e\u0438 \u043a\u0430\u043a\u0430\u044f "
    "\u043a\u0430\u043a\u043e\u0435 \u043a\u0430\u043a\u0438\u0435 \u043a\u0430\u043a\u043e\u043c "
    "\u043a\u0430\u043a\u0443\u044e \u0441\u043a\u043e\u043b\u044c\u043a\u043e "
    "\u043f\u043e\u0447\u0435\u043c\u0443 \u0447\u0435\u0438 \u0447\u044c\u044f \u0447\u044c\u0438 "
    "\u043a\u0443\u0434\u0430 \u043e\u0442\u043a\u0443\u0434\u0430 \u043b\u0438 \u044f\u043a\u0438\u0438 "
    "\u044f\u043a\u0430 \u044f\u043a\u0435 \u044f\u043a\u0456 \u0441\u043a\u0456\u043b\u044c\u043a\u0438 "
    "\u0445\u0442\u043e \u043a\u043e\u043b\u0438 "
    # Greek
    "\u03c0\u03bf\u03b9\u03bf\u03c3 \u03c0\u03bf\u03b9\u03b1 \u03c0\u03bf\u03b9\u03bf "
    "\u03c0\u03bf\u03b9\u03bf\u03b9 \u03c0\u03bf\u03b9\u03b5\u03c3 \u03c0\u03bf\u03c5 "
    "\u03c0\u03bf\u03c4\u03b5 \u03c0\u03bf\u03c3\u03bf \u03c0\u03bf\u03c3\u03b1 "
    "\u03c0\u03bf\u03c3\u03bf\u03b9 \u03c0\u03bf\u03c3\u03b5\u03c3 \u03c0\u03c9\u03c3 "
    "\u03b3\u03b9\u03b1\u03c4\u03b9 \u03c4\u03b9 "
    # Arabic
    "\u0645\u0627 \u0645\u0627\u0630\u0627 \u0645\u0646 \u0645\u062a\u0649 \u0623\u064a\u0646 "
    "\u0643\u064a\u0641 \u0643\u0645 \u0644\u0645\u0627\u0630\u0627 \u0647\u0644 \u0647\u0648 \u0647\u064a "
    # Hebrew
    "\u05de\u05d4 \u05de\u05d9 \u05d0\u05d9\u05e4\u05d4 \u05d4\u05d9\u05db\u05df \u05de\u05ea\u05d9 "
    "\u05d0\u05d9\u05da \u05db\u05de\u05d4 \u05dc\u05de\u05d4 \u05d4\u05d0\u05dd "
    # Hindi
    "\u0915\u094d\u092f\u093e \u0915\u094c\u0928 \u0915\u0939\u093e\u0901 \u0915\u0939\u093e\u0902 "
    "\u0915\u092c \u0915\u0948\u0938\u0947 \u0915\u093f\u0924\u0928\u093e \u0915\u093f\u0924\u0928\u0947 "
    "\u0915\u093f\u0924\u0928\u0940 \u0915\u094d\u092f\u094b\u0902 \u0939\u0948 \u0939\u0948\u0902 "
    "\u0915\u093e \u0915\u0940 \u0915\u0947 \u092e\u0947\u0902 "
)
FUNCTION_WORDS = STOP_WORDS | QUESTION_WORDS
# Words that ask in Chinese, Japanese, Thai and Korean, whose words no blank sets off, or whose endings ask: what, how
# many, how long, where, which, who, when, how, whether; and the words for "of" and "is", whose pairs with the letters
# beside them stand in no document.
QUESTION_PHRASES = re.compile(
    "\u4e3a\u4ec0\u4e48|\u70ba\u4ec0\u9ebc|\u4ec0\u4e48|\u4ec0\u9ebc|\u591a\u5c11|\u591a\u4e45|\u591a\u957f|\u591a\u9577|"
    "\u54ea\u91cc|\u54ea\u88e1|\u54ea\u4e2a|\u54ea\u500b|\u54ea\u4e9b|\u54ea|\u8c01|\u8ab0|"
    "\u600e\u4e48|\u600e\u9ebc|\u600e\u6837|\u600e\u6a23|\u5982\u4f55|\u662f\u5426|\u51e0|\u5e7e|\u5417|\u55ce|\u5462|"
    "(?<!\u76ee)\u7684|\u662f|\u306e|"
    "\u4f55|\u3044\u3064|\u3069\u3053|\u3060\u308c|\u3044\u304f\u3089|\u3069\u3046|\u3067\u3059\u304b|\u307e\u3059\u304b|"
    "\u0e01\u0e35\u0e48|\u0e43\u0e04\u0e23|\u0e2d\u0e30\u0e44\u0e23|\u0e17\u0e35\u0e48\u0e44\u0e2b\u0e19|\u0e40\u0e21\u0e37\u0e48\u0e2d\u0e44\u0e2b?\u0e23\u0e48?|"
    "\u0e40\u0e17\u0e48\u0e32\u0e44\u0e2b?\u0e23\u0e48?|\u0e2d\u0e22\u0e48\u0e32\u0e07\u0e44\u0e23|"
    "\ubb34\uc5c7|\ub204\uad6c|\uc5b8\uc81c|\uc5b4\ub514|\uc5bc\ub9c8|\uba70\uce60|\uc2b5\ub2c8\uae4c|\uc785\ub2c8\uae4c"
)
