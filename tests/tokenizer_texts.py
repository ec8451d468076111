"""Texts on which tokenizers are compared with the reference programs."""

import itertools
import random
import unicodedata

from lrjax.data.datasets import dataset_names, get_dataset

ODD = [
    "",
    " ",
    "\t\n\r\x0b\x0c \x1c\x1d\x85\u2028\u3000",
    "a\u00a0b\u200bc\ufeffd\u2009e",
    "a photo of a cat.",
    "A PHOTO OF A CAT'S TOY, ISN'T IT? WE'VE I'D THEY'LL I'M YOU'RE",
    "it's'S 'Tis 'sup don't'll",
    "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e \u00c5ngstr\u00f6m na\u00efve",
    "cafe\u0301 decomposed",
    "\u00c3\u00a9t\u00c3\u00a9 mojibake \u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d",
    "\u201ccurly\u201d \u2018single\u2019 \u2014 dash\u2026",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed \u2764\ufe0f smiles",
    "&lt;b&gt;bold&lt;/b&gt; &amp;amp; &eacute; &#39;s &amp;#39;s &nbsp; &notanentity;",
    "&amp;lt;i&amp;gt; &amp;amp;lt; &#x41; &#65 &copy &amp;copy;",
    "<b>bold</b> fish & chips",
    "<i> &amp;eacute; &amp;amp; &amp;lt;b&amp;gt; &amp;amp;lt;",  # ftfy leaves entities alone where it sees a tag
    "\u4e2d\u6587 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u0420\u0443\u0441\u0441\u043a\u0438\u0439 "
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\u4e2da\u6587photo\u3042\u30ab",
    "\u0130stanbul \u1e9e \u00df \ufb01 \u01c5 \u017f's '\u017f",
    "1234567890 3.14 1e-5 \u00bd \u2163 \u0663 x\u00b2",
    "!!!???...---===+++ @#$%^&*()_[]{}|\\~`",
    "snake_case __dunder__ a_b_c _ __ \uff3f",
    "...",
    "MiXeD CaSe PhOtO of A CAT",
    "<start_of_text>",
    "<END_OF_TEXT>",
    "x<start_of_text>y<end_of_text>z",
    "!!<end_of_text>!! <start_of_text><start_of_text>",
    "<|startoftext|> <|endoftext|>",
    "a<|endoftext|>b",
    "[CLS] a [SEP] photo [MASK] of [PAD] cat [UNK] [cls] x[SEP]y [SEP]",
    "</s> a </s>photo <unk> <pad> <s> \uff1c/s\uff1e",
    "</w> a</w> </w",
    "##photo # # ## a##b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    # More than a hundred letters are unknown to BERT. Not one letter alone: SentencePiece and the library `tokenizers`
    # break ties between ways to split in different orders.
    "photograph" * 11,
    "\u2581 a\u2581b \u2581photo",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "\x00 \x01 \x7f \x9f control",
    "con\x00trol \x08in\x1bside\u200e words\u202e",
    "\x1b[31mred\x1b[0m",
    "\uff26\uff35\uff2c\uff2c width \u2474",
    "soft\u00adhyphen zero\u200dwidth \u2060 joiner",
    "\U0001f600" * 100,
    *("word " * count for count in (13, 14, 15, 16, 17, 28, 29, 30, 31, 32, 61, 62, 63, 64, 65)),
    *("word " * count for count in (72, 73, 74, 75, 76, 77, 200, 3000)),
]


def all_texts() -> list[str]:
    """More than a thousand different texts: odd ones, noise, random letters and prompts of the data sets."""
    rng = random.Random(0)
    alphabet = "abcdefghijklmnopqrstuvwxyzABC   ''\"<>&;.,!?-_0123456789"
    alphabet += "\u00e9\u00fc\u00f1\u00df\u0131\u4e2d\u044f\u0301\u200d\U0001f600\n\t"
    noise = ["".join(rng.choices(alphabet, k=rng.randrange(1, 120))) for _ in range(400)]
    # Letters newer than the Unicode tables of the two regular expression engines are split differently, and so is the
    # combining iota U+0345, which Python's `regex` folds to a letter.
    assigned = [
        chr(code)
        for code in [*range(1, 0xD800), *range(0x10000, 0x20000)]
        if unicodedata.category(chr(code)) != "Cn" and code != 0x345
    ]
    anywhere = ["".join(rng.choices(assigned, k=30)) for _ in range(100)]
    things = ["sea horse", "yin and yang symbol", "F-16A/B", "colt's foot", "Ram C/V Cargo Van Minivan 2012"]
    templates = ["a photo of a {}.", "i love my {}!", "itap of the {}.", "{}", "a {} in a video game."]
    prompts = [template.format(thing) for template, thing in itertools.product(templates, things)]
    for dataset in map(get_dataset, dataset_names()):
        prompts += [rng.choice(dataset.templates).format(name) for name in dataset.classes[::4]]
        prompts += [template.format(rng.choice(dataset.classes)) for template in dataset.templates]
    return list(dict.fromkeys([*ODD, *noise, *anywhere, *prompts]))
