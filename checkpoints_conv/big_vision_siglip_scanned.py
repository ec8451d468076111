"""SigLIP in the .npz files of big_vision whose blocks were scanned: one entry holds a parameter of all blocks."""

import functools

from checkpoints_conv import big_vision_siglip

NAME = "big_vision_siglip_scanned"
MARKERS = ("params/img/Transformer/encoderblock/LayerNorm_0/scale", "params/img/MAPHead_0/probe")
POSITIONS = big_vision_siglip.POSITIONS
SUFFIX = ".npz"

make_table = functools.partial(big_vision_siglip.make_table, block="encoderblock")
TABLE = make_table()
