"""Pairs of models: the published ones by name, and hand-made ones."""

import numpy as np
import pytest

from lrjax.leaderboard.studies import buckets, data, pairs
from studies.boards import board, entry


def names(leaderboard, found):
    return [(leaderboard.entries[pair.base].name, leaderboard.entries[pair.other].name) for pair in found]


def test_finetuned_pairs(published):
    found = pairs.finetuned_pairs(published)
    coca = "CoCa-ViT-L/14 (laion2b_s13b_b90k)"
    assert names(published, found) == [
        ("ALBEF (14M)", "ALBEF (14M + coco_finetuned)"),
        ("ALBEF (14M)", "ALBEF (14M + flickr_finetuned)"),
        ("BLIP-ViT-B/16 (129M)", "BLIP-ViT-B/16 (129M + COCO)"),
        ("BLIP-ViT-B/16 (129M)", "BLIP-ViT-B/16 (129M + Flickr)"),
        ("BLIP-ViT-L/16 (129M)", "BLIP-ViT-L/16 (129M + COCO)"),
        ("BLIP-ViT-L/16 (129M)", "BLIP-ViT-L/16 (129M + Flickr)"),
        (coca, "CoCa-ViT-L/14 (laion2b_s13b_b90k + mscoco)"),
    ]
    assert len({pair.unit for pair in found}) == 4


def test_input_pairs(published):
    found = pairs.input_pairs(published)
    assert names(published, found) == [
        ("ViT-L/14", "ViT-L/14@336px"),
        ("CLIPA-ViT-L/14", "CLIPA-ViT-L/14@336px"),
        ("CLIPA-ViT-H/14", "CLIPA-ViT-H/14@336px (DataComp-1B)"),
        ("CLIPA-ViT-G/14", "CLIPA-ViT-G/14@336px"),
        ("EVA-02-CLIP-L/14", "EVA-02-CLIP-L/14+"),
        ("OpenCLIP-ViT-H/14-quickgelu", "OpenCLIP-ViT-H/14-quickgelu@336px"),
        ("SigLIP-ViT-B/16", "SigLIP-ViT-B/16@256px"),
        ("SigLIP-ViT-B/16", "SigLIP-ViT-B/16@384px"),
        ("SigLIP-ViT-B/16", "SigLIP-ViT-B/16@512px"),
        ("SigLIP-ViT-L/16@256px", "SigLIP-ViT-L/16@384px"),
        ("SigLIP-ViT-SO400M", "SigLIP-ViT-SO400M@336px"),
    ]


def test_data_pairs(published):
    found = pairs.data_pairs(published)
    more = [pair for pair in found if pairs.same_source(published.entries[pair.base], published.entries[pair.other])]
    assert sorted(names(published, more)) == [
        ("ALBEF (4M)", "ALBEF (14M)"),
        ("BLIP-ViT-B/16 (4M)", "BLIP-ViT-B/16 (129M)"),
        ("MetaCLIP-ViT-B/16 (400M)", "MetaCLIP-ViT-B/16 (2.5B)"),
        ("MetaCLIP-ViT-B/32 (400M)", "MetaCLIP-ViT-B/32 (2.5B)"),
        ("MetaCLIP-ViT-L/14 (400M)", "MetaCLIP-ViT-L/14 (2.5B)"),
    ]
    assert sorted(names(published, [pair for pair in found if pair not in more])) == [
        ("CLIPA-ViT-H/14@336px (LAION-2B)", "CLIPA-ViT-H/14@336px (DataComp-1B)"),
        ("OpenCLIP-ViT-L/14 (laion2b_s32b_b82k)", "OpenCLIP-ViT-L/14 (datacomp_xl_s13b_b90k)"),
    ]


def test_equal_towers(published):
    groups = data.equal_towers(published)
    sizes = {name: len(group) for name, group in groups.items()}
    assert sizes == {
        "ViT, patch 16, 384 px, 111 GFLOPs": 5,
        "ViT, patch 32, 224 px, 9 GFLOPs": 3,
        "ViT, patch 16, 224 px, 35 GFLOPs": 6,
        "ViT, patch 14, 224 px, 162 GFLOPs": 7,
        "ViT, patch 14, 336 px, 382 GFLOPs": 3,
        "ViT, patch 14, 224 px, 335 GFLOPs": 4,
        "ViT, patch 14, 336 px, 781 GFLOPs": 2,
        "ViT, patch 14, 224 px, 968 GFLOPs": 3,
        "ViT, patch 14, 224 px, 534 GFLOPs": 2,
    }
    assert {published.entries[number].name for number in groups["ViT, patch 14, 224 px, 335 GFLOPs"]} == {
        "CLIPA-ViT-H/14",
        "MetaCLIP-ViT-H/14 (2.5B)",
        "OpenCLIP-ViT-H/14",
        "OpenCLIP-ViT-H/14-quickgelu",
    }


def test_pairs_of_one_unit_count_once():
    leaderboard = board(
        [
            entry("base", backbone="A:base.pt"),
            entry("coco", backbone="A:base_coco.pt", finetuned="COCO"),
            entry("flickr", backbone="A:base_flickr.pt", finetuned="Flickr30k"),
            entry("base 2", backbone="B:x"),
            entry("tuned 2", backbone="B:y", finetuned="COCO"),
            entry("orphan", backbone="C:y", finetuned="COCO"),
            entry("mine", backbone="A:base.pt", own=True),
        ],
        [0.4, 0.3, 0.1, 0.5, 0.6, 0.2, 0.4],
    )
    found = pairs.finetuned_pairs(leaderboard)
    assert names(leaderboard, found) == [("base", "coco"), ("base", "flickr"), ("base 2", "tuned 2")]
    np.testing.assert_allclose(pairs.differences(leaderboard, found, "acc", 16), [-10, -30, 10])
    assert pairs.estimate(leaderboard, found, "acc", 16) == (pytest.approx(-5), None, None, 2)
    assert pairs.signs(leaderboard, found, "acc", 16) == "lower in 2 of 3 pairs"


def test_two_possible_bases_are_told_apart_by_the_name_of_the_file():
    entries = [entry("one", backbone="A:m.pt"), entry("two", backbone="A:m_caption.pt")]
    tuned = entry("tuned", backbone="A:m_retrieval.pt", finetuned="COCO")
    leaderboard = board([*entries, tuned], [0.1, 0.2, 0.3])
    assert names(leaderboard, pairs.finetuned_pairs(leaderboard)) == [("one", "tuned")]
    unclear = entry("tuned", backbone="A:other.pt", finetuned="COCO")
    assert pairs.finetuned_pairs(board([*entries, unclear], [0.1, 0.2, 0.3])) == []


def test_the_pair_chart_shows_the_differences(published, studies):
    (chart,) = studies["finetuned"].charts
    assert [panel.title for panel in chart.panels] == ["16 pixels", "32 pixels", "64 pixels", "128 pixels"]
    war = published.score("war", 16)
    base, other = published.find("ALBEF (14M)"), published.find("ALBEF (14M + coco_finetuned)")
    series = {one.name: one for one in chart.panels[0].series}
    assert series["WAR"].x[0] == pytest.approx(100 * (war[other] - war[base]))
    assert chart.y.ticks[0] == "ALBEF (14M) → (14M + coco_finetuned)"
    (ticks,) = [chart.y.ticks for chart in studies["input-size"].charts]
    assert list(ticks.values())[:5:2] == [
        "ViT-L/14 → 336px", "CLIPA-ViT-H/14 → 336px (DataComp-1B)", "EVA-02-CLIP-L/14 → L/14+",
    ]  # fmt: skip


def test_buckets(published):
    found = buckets.find_buckets(published)
    assert {bucket.label: len(bucket.members) for bucket in found} == {
        "150 to 178 M": 14,
        "195 to 204 M": 9,
        "413 to 428 M": 13,
        "623 to 652 M": 5,
        "968 to 987 M": 7,
        "2,517 to 2,540 M": 4,
    }
    members = [number for bucket in found for number in bucket.members]
    assert len(set(members)) == len(members)
    for bucket in found:
        sizes = [published.entries[number].parameters for number in bucket.members]
        assert max(sizes) - min(sizes) <= 30_000_000
    assert {published.entries[number].name for number in found[3].members} == {
        "RN50x64",
        "CoCa-ViT-L/14 (laion2b_s13b_b90k)",
        "CoCa-ViT-L/14 (laion2b_s13b_b90k + mscoco)",
        "SigLIP-ViT-L/16@256px",
        "SigLIP-ViT-L/16@384px",
    }


def test_a_bucket_needs_two_sources():
    entries = [entry(str(number), parameters=10**8 + number) for number in range(3)]
    assert buckets.find_buckets(board(entries, [0.1, 0.2, 0.3])) == []
    entries[2] = entry("2", data="LAION-2B", parameters=130_000_000)
    (bucket,) = buckets.find_buckets(board(entries, [0.1, 0.2, 0.3]))
    assert bucket.members == (0, 1, 2)
    assert bucket.holds(130_000_000) and not bucket.holds(99_999_999) and not bucket.holds(None)
    entries[2] = entry("2", data="LAION-2B", parameters=130_000_001)
    assert buckets.find_buckets(board(entries, [0.1, 0.2, 0.3])) == []


def test_share_of_the_variance_inside_groups_by_hand():
    # means 2 and 8, mean squares: between 4 * 9 = 54 over 1 degree of freedom, inside 4 over 4
    estimate = buckets.share_inside([[1, 2, 3], [7, 8, 9]])
    ratio = (3 * 9 + 3 * 9) / (4 / 4)
    assert estimate.value == pytest.approx(1 - (ratio - 1) / (ratio + 2))
    assert 0 < estimate.low < estimate.value < estimate.high <= 1
    assert buckets.share_inside([[1, 2, 3]]) is None
    assert buckets.share_inside([[1], [2]]) is None
