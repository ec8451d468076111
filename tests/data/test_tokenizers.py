import numpy as np
import pytest

from lrjax.data import tokenizers
from lrjax.errors import UserError
from tokenizer_texts import ODD, all_texts
from torch_reference import import_open_clip


@pytest.fixture(scope="module")
def reference():
    return import_open_clip().tokenizer.SimpleTokenizer()


def test_clip_ids_equal_open_clip(reference):
    texts = all_texts()
    assert len(texts) >= 1000
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


def test_coca_ids_equal_open_clip():
    reference = import_open_clip().get_tokenizer("coca_ViT-B-32")
    assert reference.context_length == 76  # no id is dropped later: the text tower appends its class token
    texts = all_texts()
    np.testing.assert_array_equal(tokenizers.get_tokenizer("clip", 76)(texts), reference(texts).numpy())


def test_coca_ids_are_those_of_77_without_the_last_where_the_text_fits():
    texts = all_texts()
    long, short = tokenizers.get_tokenizer("clip", 77)(texts), tokenizers.get_tokenizer("clip", 76)(texts)
    fits = (short == long[:, :-1]).all(axis=1)
    np.testing.assert_array_equal(fits, long[:, -1] == 0)
    assert fits.sum() > 1000
    assert (short[~fits, -1] == 49407).all()


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
    with pytest.raises(UserError, match="unknown tokenizer 'word2vec'"):
        tokenizers.get_tokenizer("word2vec")
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


def test_a_relative_file_lies_in_the_directory(trained, tmp_path):
    named = tokenizers.get_tokenizer("file:tokenizer.json", 32, directory=tmp_path)
    np.testing.assert_array_equal(named(CORPUS), trained(CORPUS))
    assert named.fingerprint == trained.fingerprint


def test_ids_must_fit_the_token_table(trained):
    name = trained.name
    assert tokenizers.get_tokenizer(name, 32, vocabulary=290).vocab_size == 290
    with pytest.raises(UserError, match="has 290 ids but the token table of the model only 289 rows"):
        tokenizers.get_tokenizer(name, 32, vocabulary=289)
    with pytest.raises(UserError, match="49408 ids"):
        tokenizers.get_tokenizer("clip", vocabulary=32000)


def test_fingerprint_follows_vocabulary_and_rules(trained, tmp_path):
    other = tmp_path / "other.json"
    tokenizers.train_tokenizer([text.replace("circle", "ring") for text in CORPUS], 285).save(str(other))
    made = [
        trained,
        tokenizers.get_tokenizer(trained.name, 16),
        tokenizers.get_tokenizer(f"file:{other}", 32),
        tokenizers.get_tokenizer("clip"),
        tokenizers.get_tokenizer("clip", 76),
    ]
    assert len({tokenizer.fingerprint for tokenizer in made}) == len(made)
    assert tokenizers.get_tokenizer("clip").fingerprint == tokenizers.get_tokenizer("clip", 77).fingerprint
    assert all(len(tokenizer.fingerprint) == 64 for tokenizer in made)
