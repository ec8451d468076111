import importlib.util
import itertools
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from lrjax.data import tokenizers
from lrjax.errors import UserError


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.find_spec("open_clip")
    pytest.importorskip("torch")
    if spec is None:
        pytest.skip("open_clip is not installed")
    # The file alone: the package's __init__ needs a torchvision that matches torch.
    file = Path(spec.origin).with_name("tokenizer.py")
    module_spec = importlib.util.spec_from_file_location("open_clip_tokenizer", file)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.SimpleTokenizer()


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
    "<b>bold</b> fish & chips",
    "\u4e2d\u6587 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u0420\u0443\u0441\u0441\u043a\u0438\u0439 "
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\u0130stanbul \u1e9e \u00df \ufb01 \u01c5 \u017f's '\u017f",
    "1234567890 3.14 1e-5 \u00bd \u2163 \u0663 x\u00b2",
    "!!!???...---===+++ @#$%^&*()_[]{}|\\~`",
    "<start_of_text>",
    "<END_OF_TEXT>",
    "x<start_of_text>y<end_of_text>z",
    "!!<end_of_text>!! <start_of_text><start_of_text>",
    "<|startoftext|> <|endoftext|>",
    "</w> a</w> </w",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "\x00 \x01 \x7f \x9f control",
    "\x1b[31mred\x1b[0m",
    "\uff26\uff35\uff2c\uff2c width \u2474",
    "word " * 74,
    "word " * 75,
    "word " * 76,
    "word " * 200,
    "\U0001f600" * 100,
]


def _texts():
    rng = random.Random(0)
    alphabet = "abcdefghijklmnopqrstuvwxyzABC   ''\"<>&;.,!?-_0123456789"
    alphabet += "\u00e9\u00fc\u00f1\u00df\u0131\u4e2d\u044f\u0301\u200d\U0001f600\n\t"
    noise = ["".join(rng.choices(alphabet, k=rng.randrange(1, 120))) for _ in range(400)]
    things = ["sea horse", "yin and yang symbol", "F-16A/B", "colt's foot", "Ram C/V Cargo Van Minivan 2012"]
    templates = ["a photo of a {}.", "i love my {}!", "itap of the {}.", "{}", "a {} in a video game."]
    # Letters newer than the Unicode tables of the two regular expression engines are split differently, and so is the
    # combining iota U+0345, which Python's `regex` folds to a letter.
    assigned = [
        chr(code)
        for code in [*range(1, 0xD800), *range(0x10000, 0x20000)]
        if unicodedata.category(chr(code)) != "Cn" and code != 0x345
    ]
    anywhere = ["".join(rng.choices(assigned, k=30)) for _ in range(100)]
    return ODD + noise + anywhere + [template.format(thing) for template, thing in itertools.product(templates, things)]


def test_clip_ids_equal_open_clip(reference):
    texts = _texts()
    assert len(texts) >= 500
    ours = tokenizers.get_tokenizer("clip")(texts)
    theirs = reference(texts).numpy()
    different = [
        (text, a[a > 0], b[b > 0]) for text, a, b in zip(texts, ours, theirs, strict=True) if not np.array_equal(a, b)
    ]
    assert not different, different[:3]


@pytest.mark.parametrize("context", [2, 16, 32])
def test_other_contexts_equal_open_clip(reference, context):
    ours = tokenizers.get_tokenizer("clip", context)(ODD)
    np.testing.assert_array_equal(ours, reference(ODD, context_length=context).numpy())


def test_clip_published_ids():
    ids = tokenizers.get_tokenizer("clip")("a photo of a cat.")
    assert ids.shape == (1, 77)
    assert ids.dtype == np.int32
    assert ids[0, :9].tolist() == [49406, 320, 1125, 539, 320, 2368, 269, 49407, 0]
    assert tokenizers.get_tokenizer("clip").vocab_size == 49408


def test_truncation_ends_with_the_end_id():
    ids = tokenizers.get_tokenizer("clip", 8)(["one two three four five six seven eight nine"])
    assert ids[0, -1] == 49407
    assert ids[0].argmax() == 7


def test_no_texts_gives_no_rows():
    assert tokenizers.get_tokenizer("clip")([]).shape == (0, 77)


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["nested"]])
def test_text_must_be_str(text):
    with pytest.raises(UserError, match="text 1"):
        tokenizers.get_tokenizer("clip")(["fine", text])


CORPUS = ["a red circle", "a blue square", "a photo of a green triangle", "the Red square and the blue circle"] * 4


@pytest.fixture
def trained(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers.train_tokenizer(CORPUS, 290).save(str(path))
    return tokenizers.get_tokenizer(f"file:{path}", 32)


def test_trained_layout_of_ids(trained):
    ids = trained(["a red circle", "\u00e9\U0001f600 unseen", ""])
    assert ids.dtype == np.int32
    assert ids.shape == (3, 32)
    assert (trained.pad_id, trained.sot_id, trained.eot_id, trained.vocab_size) == (0, 288, 289, 290)
    assert (ids[:, 0] == 288).all()
    assert ((ids == 289).sum(1) == 1).all()
    for row in ids:
        end = row.argmax()
        assert (row[end + 1 :] == 0).all()
        assert (row[:end] != 0).all()
    assert ids[2, :3].tolist() == [288, 289, 0]


def test_trained_is_lower_cased_and_deterministic(trained, tmp_path):
    np.testing.assert_array_equal(trained("A  RED Circle"), trained("a red circle"))
    path = tmp_path / "again.json"
    tokenizers.train_tokenizer(CORPUS, 290).save(str(path))
    np.testing.assert_array_equal(tokenizers.get_tokenizer(f"file:{path}", 32)(CORPUS), trained(CORPUS))


def test_special_tokens_in_a_text_are_plain_text(trained):
    ids = trained("a <eot> b <sot> <pad> c")
    assert ids[0].tolist().count(trained.eot_id) == 1
    assert ids[0].tolist().count(trained.sot_id) == 1
    assert 0 not in ids[0, : ids[0].argmax()]


def test_trained_truncates(trained):
    ids = trained("zyx " * 100)
    assert ids[0, -1] == trained.eot_id


def test_training_needs_enough_text_and_room():
    with pytest.raises(UserError, match="ask for vocab_size="):
        tokenizers.train_tokenizer(["ab"], 5000)
    with pytest.raises(UserError, match="too small"):
        tokenizers.train_tokenizer(["ab"], 100)


def test_bad_names_and_files(tmp_path):
    with pytest.raises(UserError, match="unknown tokenizer 'bert'"):
        tokenizers.get_tokenizer("bert")
    with pytest.raises(UserError, match="does not exist"):
        tokenizers.get_tokenizer(f"file:{tmp_path}/none.json")
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        tokenizers.get_tokenizer(f"file:{damaged}")
    with pytest.raises(UserError, match="context 1"):
        tokenizers.get_tokenizer("clip", 1)


def test_file_whose_end_id_is_not_the_highest(tmp_path):
    tokenizer = tokenizers.train_tokenizer(CORPUS, 290)
    tokenizer.add_special_tokens(["<more>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    with pytest.raises(UserError, match="highest id"):
        tokenizers.get_tokenizer(f"file:{path}")
