"""A vocabulary that lies beside a checkpoint goes with it."""

from checkpoints_conv.__main__ import _vocabulary


def test_the_vocabulary_beside_a_checkpoint(tmp_path, capsys):
    assert _vocabulary("clip", tmp_path) == []
    assert _vocabulary("file:tokenizer.json", tmp_path) == [tmp_path / "tokenizer.json"]
    assert _vocabulary("siglip", tmp_path) == []
    assert "no vocabulary lies in" in capsys.readouterr().out
    for name in ("tokenizer.json", "sentencepiece.model"):
        (tmp_path / name).touch()
    assert _vocabulary("siglip", tmp_path) == [tmp_path / "sentencepiece.model"]
    assert _vocabulary("bert", tmp_path) == [tmp_path / "tokenizer.json"]
