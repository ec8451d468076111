"""The tokenizers of CLIPA and SigLIP, on stand-in vocabularies of the published sizes."""

import io
import json

import numpy as np
import pytest
import sentencepiece
import tokenizers as hf
from sentencepiece import sentencepiece_model_pb2

from lrjax.data.datasets import get_dataset
from lrjax.data.tokenizers import get_tokenizer
from lrjax.data.tokenizers.cleaning import CLEANINGS
from lrjax.errors import UserError
from tokenizer_texts import ODD, all_texts
from torch_reference import import_open_clip

# ids of bert-base-uncased
PUBLISHED = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "a": 1037}
PUBLISHED |= {"of": 1997, "photo": 6302, "cat": 4937}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No hub and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def corpus():
    dataset = get_dataset("imagenet")
    templates = dataset.templates
    return [templates[index % len(templates)].format(name) for index, name in enumerate(dataset.classes)]


def write_bert(folder, tokens=None):
    """Writes 30522 pieces: words, beginnings and ends of words, letters; the published ids of a few."""
    words = sorted({word.lower() for text in corpus() for word in text.split() if word.isalpha()})
    pieces = [*words[::2], *(word[:3] for word in words), *(f"##{word[3:]}" for word in words if word[3:])]
    letters = [
        *map(chr, range(0x21, 0x7F)),
        *map(chr, range(0xA1, 0x250)),
        *map(chr, range(0x400, 0x460)),
        "\u4e2d",
        "\u6587",
        "\u3042",
        "\u30ab",
    ]
    pieces = dict.fromkeys([*pieces, *letters, *(f"##{letter}" for letter in letters)])
    free = iter([piece for piece in pieces if piece not in PUBLISHED])
    taken = {number: piece for piece, number in PUBLISHED.items()}
    rows = [taken[number] if number in taken else next(free, f"[unused{number}]") for number in range(30522)]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens or rows) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_siglip(folder):
    """Writes a model of 32000 pieces with the special tokens of c4_en, most of them fillers."""
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([CLEANINGS["canonical"](text) for text in corpus()]),
        model_writer=content,
        vocab_size=1500,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(content.getvalue())
    for number in range(len(model.pieces), 32000):
        model.pieces.add(piece=f"\u2581filler{number}", score=-50)
    folder.mkdir(exist_ok=True)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    config = {"tokenizer_class": "T5Tokenizer", "pad_token": "</s>", "extra_ids": 0, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_siglip_json(source, target):
    """Writes the `tokenizer.json` that transformers 4 makes of a SentencePiece model of T5's kind."""
    model = sentencepiece_model_pb2.ModelProto.FromString((source / "spiece.model").read_bytes())
    tokenizer = hf.Tokenizer(hf.models.Unigram([(piece.piece, piece.score) for piece in model.pieces], 2, False))
    squeeze = [hf.normalizers.Strip(left=False, right=True), hf.normalizers.Replace(hf.Regex(" {2,}"), "\u2581")]
    charsmap = hf.normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tokenizer.normalizer = hf.normalizers.Sequence([charsmap, *squeeze])
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.post_processor = hf.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.enable_padding(length=64)  # as files on the hub may have it
    target.mkdir(exist_ok=True)
    tokenizer.save(str(target / "tokenizer.json"))
    (target / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text())
    return target


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return write_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def siglip_json(siglip, tmp_path_factory):
    return write_siglip_json(siglip, tmp_path_factory.mktemp("siglip_json"))


def reference(folder, architecture):
    """open_clip's tokenizer with the options that it has for an architecture, on a local vocabulary."""
    open_clip = import_open_clip()
    text = open_clip.get_model_config(architecture)["text_cfg"]
    return open_clip.tokenizer.HFTokenizer(
        str(folder), context_length=text["context_length"], **text["tokenizer_kwargs"]
    )


def check_equal(texts, ours, theirs):
    different = [(text, a, b) for text, a, b in zip(texts, ours, theirs, strict=True) if not np.array_equal(a, b)]
    assert not different, (len(different), different[:3])


@pytest.mark.parametrize("architecture", ["ViT-L-14-CLIPA", "ViT-bigG-14-CLIPA-336"])
def test_bert_ids_equal_open_clip(bert, architecture):
    texts = all_texts()
    assert len(texts) >= 1000
    ours = get_tokenizer("bert", 32, directory=bert)(texts)
    theirs = reference(bert, architecture)(texts).numpy()
    check_equal(texts, ours, theirs)
    assert (ours != 100).all(axis=1).mean() > 0.7  # the stand-in knows most of the texts
    assert (ours[:, -1] == 0).all()
    assert (ours[:, -2] != 0).sum() > 20  # some texts are cut


def test_bert_published_ids(bert):
    ids = get_tokenizer("bert", 32, directory=bert)(["A photo of a cat.", ""])
    assert ids.dtype == np.int32
    assert ids.tolist() == [[101, 1037, 6302, 1997, 1037, 4937, 1012] + 25 * [0], [101] + 31 * [0]]


def test_bert_cuts_to_thirty_pieces(bert):
    ids = get_tokenizer("bert", 32, directory=bert)("a " * 40)
    assert ids.tolist() == [[101] + 30 * [1037] + [0]]


def test_bert_reads_the_vocabulary_of_a_json_file(bert, tmp_path):
    reference(bert, "ViT-L-14-CLIPA").tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    from_json, from_text = (get_tokenizer("bert", 32, directory=folder) for folder in (tmp_path, bert))
    np.testing.assert_array_equal(from_json(ODD), from_text(ODD))
    assert from_json.fingerprint == from_text.fingerprint


def test_bert_refuses_other_vocabularies(bert, tmp_path):
    lines = (bert / "vocab.txt").read_text(encoding="utf-8").splitlines()
    file = tmp_path / "vocab.txt"
    for other, message in (
        (lines[:28996], "not that of bert-base-uncased: it has 28996 ids, not 30522"),
        ([*lines[:101], "x-cls", *lines[102:]], r"id None for \[CLS\], not 101"),
        ([*lines[:-1], "photo"], "without an id of their own"),
    ):
        write_bert(tmp_path, other)
        with pytest.raises(UserError, match=message):
            get_tokenizer("bert", 32, directory=tmp_path)
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="cannot be read"):
        get_tokenizer("bert", 32, directory=tmp_path)
    file.unlink()
    for damaged in ("{}", "[]", "{", '{"model": {"vocab": [["a", -1.0]]}}'):
        (tmp_path / "tokenizer.json").write_text(damaged)
        with pytest.raises(UserError, match=r"cannot be read|without an id"):
            get_tokenizer("bert", 32, directory=tmp_path)


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP"])
@pytest.mark.parametrize("kind", ["model", "json"])
def test_siglip_ids_equal_open_clip(siglip, siglip_json, architecture, kind):
    folder = siglip if kind == "model" else siglip_json
    theirs = reference(folder, architecture)
    assert theirs.context_length == (16 if "SO400M" in architecture else 64)
    texts = all_texts()
    ours = get_tokenizer("siglip", theirs.context_length, directory=folder)(texts)
    check_equal(texts, ours, theirs(texts).numpy())
    assert (ours[:, -1] == 1).all()
    assert (ours[:, -2] != 1).sum() > 10  # some texts are cut
    assert (ours != 2).all(axis=1).mean() > 0.5  # the stand-in knows most of the texts


def test_siglip_hand_made_ids(siglip):
    model = sentencepiece.SentencePieceProcessor(model_file=str(siglip / "spiece.model"))
    ids = get_tokenizer("siglip", 64, directory=siglip)(["A Photo_of &amp;amp; a cat's\u00a0toy!", "", "_ ... _"])
    pieces = model.encode("a photo of a cats toy", out_type=int)
    assert ids.dtype == np.int32
    assert ids.tolist() == [pieces + (64 - len(pieces)) * [1], 64 * [1], 64 * [1]]


def test_siglip_fingerprints(siglip, siglip_json):
    made = [get_tokenizer("siglip", context, directory=siglip) for context in (64, 16)]
    made.append(get_tokenizer("siglip", 64, directory=siglip_json))
    assert len({tokenizer.fingerprint for tokenizer in made}) == 3
    assert get_tokenizer("siglip", 64, directory=siglip).fingerprint == made[0].fingerprint


def test_siglip_refuses_other_vocabularies(siglip, siglip_json, tmp_path):
    model = sentencepiece_model_pb2.ModelProto.FromString((siglip / "spiece.model").read_bytes())
    del model.pieces[31000:]
    file = tmp_path / "sentencepiece.model"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="not c4_en of SigLIP: it has 31000 ids, not 32000"):
        get_tokenizer("siglip", 64, directory=tmp_path)
    file.write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot be read"):
        get_tokenizer("siglip", 64, directory=tmp_path)
    file.unlink()
    content = json.loads((siglip_json / "tokenizer.json").read_text())
    pieces = content["model"]["vocab"]
    pieces[1], pieces[5] = pieces[5], pieces[1]
    content["added_tokens"] = []
    content["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="it has id 5 for </s>, not 1"):
        get_tokenizer("siglip", 64, directory=tmp_path)


@pytest.mark.parametrize(
    ("name", "first", "address"),
    [
        ("bert", "vocab.txt or tokenizer.json", "google-bert/bert-base-uncased"),
        ("siglip", "sentencepiece.model or spiece.model or tokenizer.json", "timm/ViT-B-16-SigLIP"),
    ],
)
def test_a_missing_vocabulary_is_named(name, first, address, tmp_path):
    with pytest.raises(UserError) as error:
        get_tokenizer(name, 32, directory=tmp_path, hub_id="hf-hub:ORG/NAME:weights.bin")
    for part in (
        first,
        str(tmp_path),
        "ORG/NAME, ",
        "(HF_HUB_OFFLINE is set)",
        f"https://huggingface.co/{address}",
        "beside the checkpoint",
    ):
        assert part in str(error.value)


def test_a_repository_is_named_once(tmp_path):
    with pytest.raises(UserError, match="none of timm/ViT-B-16-SigLIP on the hub"):
        get_tokenizer("siglip", 64, directory=tmp_path, hub_id="timm/ViT-B-16-SigLIP")


@pytest.mark.parametrize("repository", ["ORG/NAME", "timm/ViT-B-16-SigLIP"])
def test_the_cache_of_the_hub_is_used(siglip, tmp_path, repository):
    snapshot = tmp_path / "cache" / f"models--{repository.replace('/', '--')}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "spiece.model").write_bytes((siglip / "spiece.model").read_bytes())
    references = snapshot.parents[1] / "refs"
    references.mkdir()
    (references / "main").write_text(snapshot.name)
    tokenizer = get_tokenizer("siglip", 64, directory=tmp_path, hub_id="ORG/NAME")
    assert tokenizer.fingerprint == get_tokenizer("siglip", 64, directory=siglip).fingerprint


def test_the_hub_is_asked_for_one_file_after_the_other(siglip_json, monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    asked = []

    def download(repository, file, *, revision, local_files_only):
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not cached")
        asked.append((repository, file))
        if repository == "ORG/NAME":
            raise PermissionError("not yours")
        if file != "tokenizer.json":
            raise errors.EntryNotFoundError("no such file")
        return str(siglip_json / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr("lrjax.data.hub.is_reachable", lambda: True)
    tokenizer = get_tokenizer("siglip", 64, hub_id="ORG/NAME")
    assert tokenizer.fingerprint == get_tokenizer("siglip", 64, directory=siglip_json).fingerprint
    files = ("sentencepiece.model", "spiece.model", "tokenizer.json")
    assert asked == [("ORG/NAME", files[0]), *(("timm/ViT-B-16-SigLIP", file) for file in files)]


def test_the_vocabularies_must_fit_the_token_table(bert, siglip):
    assert get_tokenizer("bert", 32, directory=bert, vocabulary=32000).vocab_size == 30522
    assert get_tokenizer("siglip", 64, directory=siglip, vocabulary=32000).vocab_size == 32000
    for name, folder in (("bert", bert), ("siglip", siglip)):
        with pytest.raises(UserError, match="only 30000 rows"):
            get_tokenizer(name, 32, directory=folder, vocabulary=30000)
