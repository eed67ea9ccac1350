"""Segment Anything 2 in its own environment: weights whose masks are what has the point's colour.

make FOLDER FILE: write some as Meta's are; FILE is called after the library's configuration.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's masks of a tile, painted by our rule.

The network is the library's own, started at random from a fixed seed; some weights are then set by
hand. Three channels carry the colour through the encoder; the decoder's point reads it where it is,
hands it to the mask's token, and a pixel's logit is its colour times that one, less a limit.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import build_sam2
from zoo.scenes import colours

RGB, PLUS, MINUS, MARK = range(3), 3, 4, 5  # channels
READ, AGAINST, AGAIN = (8, 9, 10), (6, 7, 11), (12, 13, 14)
"""Where a token has the point's colour; and what keeps the means of all channels 0."""
STEADY = 100.0  # of the channels PLUS and MINUS: next to it no other moves a LayerNorm's scale
UNIT = 128**0.5  # what a LayerNorm of 256 channels makes of STEADY
FREQUENCIES = (0.25, 1.0, 4.0, 8.0)  # of a position's code: it repeats outside the picture only
SHARP, STEEP = 12.0, 400.0  # of the point's look at the picture; of a mask's edge
LIMITS = (0.98, 0.979, 0.978, 0.977)  # cosines of colours told apart, of 0.99
SURE = 3.0  # logit of the predicted IoU
TWO = 1.01  # brightness that one colour hasn't
BRIGHTER = slice(10, 250)  # channels that tell it, each in one direction
BRIGHT = 5.0  # GELU is straight there


def only(layer, weight=None, bias=None):
    """Leave a layer with nothing but `weight` and `bias`, {index: value}."""
    layer.weight.zero_()
    layer.bias.zero_()
    for index, value in (weight or {}).items():
        layer.weight[index] = value
    for index, value in (bias or {}).items():
        layer.bias[index] = value


def carry_colour(trunk):
    """Each stage's first channels are the colour; pooled by maximum, black doesn't count."""
    first = trunk.patch_embed.proj
    first.weight *= 0.1
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the library scales colours by them
    for c in (*RGB, PLUS, MINUS):
        first.weight[c] = 0
    for c in RGB:
        first.weight[c, c, 3:, 3:] = std[c] / 16
        first.bias[c] = mean[c]
    first.bias[PLUS], first.bias[MINUS] = STEADY, -STEADY
    for embedding in (trunk.pos_embed, trunk.pos_embed_window):
        embedding[:, : MINUS + 1] = 0
    for block in trunk.blocks:
        for layer in (block.attn.proj, block.mlp.layers[-1]):
            layer.weight[: MINUS + 1] = layer.bias[: MINUS + 1] = 0
        if block.dim != block.dim_out:  # a LayerNorm is undone
            scale = STEADY * (2 / block.dim) ** 0.5
            block.proj.weight[: MINUS + 1] = block.proj.bias[: MINUS + 1] = 0
            for c in RGB:
                block.proj.weight[c, c] = scale
                block.proj.weight[c, [PLUS, MINUS]] = -scale / 2
            block.proj.bias[PLUS], block.proj.bias[MINUS] = STEADY, -STEADY


def show_colour(network):
    """The two maps that the decoder sees hold the colour: for the point, and for the mask."""
    for stage in (0, 1, 3):  # from the last to the first; the last is added to the one before
        conv = network.image_encoder.neck.convs[stage].conv
        conv.weight[: MARK + 1] = conv.bias[: MARK + 1] = 0
        for c in RGB if stage else ():
            conv.weight[c, c] = 1
    network.no_mem_embed[..., : MARK + 1] = 0
    network.sam_prompt_encoder.no_mask_embed.weight[:, : MARK + 1] = 0
    decoder = network.sam_mask_decoder
    only(
        decoder.conv_s0,
        {(c, c): 1 for c in RGB},
        dict.fromkeys((*RGB, PLUS), BRIGHT),
    )
    only(decoder.output_upscaling[3])


def mark_tokens(prompts, decoder):
    """Only the point's token has a place in the picture, and is marked; a mask's hint is none."""
    only(prompts.mask_downscaling[-1])
    code = prompts.pe_layer.positional_encoding_gaussian_matrix
    code[:, : max(AGAIN) + 1] = 0
    for n, frequency in enumerate(FREQUENCIES):
        code[:, 16 + n], code[:, 20 + n] = torch.tensor([[frequency, 0], [0, frequency]])
    tokens = (decoder.iou_token, decoder.mask_tokens, decoder.obj_score_token)
    for embedding in (*tokens, prompts.not_a_point_embed, prompts.point_embeddings[1]):
        embedding.weight.zero_()
        embedding.weight[:, PLUS] = UNIT
    prompts.point_embeddings[1].weight[:, MARK] = 30


def read_colour(transformer):
    """In the first layer the point takes the colour where it is, in the second all tokens its."""
    first, second = transformer.layers
    steady = {PLUS: STEADY, MINUS: -STEADY}
    only(first.self_attn.out_proj, bias=steady)
    look = first.cross_attn_token_to_image
    places = [half + n for half in (0, 128) for n in range(16, 24)]  # sines, cosines
    for layer in (look.q_proj, look.k_proj):
        only(layer, dict.fromkeys(enumerate(places), SHARP**0.5 * 2))
    copy = {(c, c): 1 for c in RGB}
    only(look.v_proj, copy)
    only(look.out_proj, copy | {(AGAINST[c], c): -1 for c in RGB})
    hand = second.self_attn
    only(hand.q_proj, {(0, PLUS): 1})
    only(hand.k_proj, {(0, MARK): 1})
    only(hand.v_proj, copy)
    only(hand.out_proj, {(READ[c], c): 1 for c in RGB} | {(AGAIN[c], c): -1 for c in RGB})
    only(second.cross_attn_token_to_image.out_proj)
    only(transformer.final_attn_token_to_image.out_proj)
    for layer in (first, second):
        only(layer.mlp.layers[-1])


def draw(decoder):
    """Logits: the point's colour times the pixel's, less the limit.

    Two colours pooled to one are brighter than any: nothing is drawn of such.
    """
    all_of_them = torch.tensor(colours(240)[1:], dtype=torch.float32)
    for mlp, limit in zip(decoder.output_hypernetworks_mlps, LIMITS, strict=True):
        into, through, out = mlp.layers
        only(into, {(c, READ[c]): 1 for c in RGB}, {PLUS: 1})
        into.weight[BRIGHTER, READ[0] : READ[-1] + 1] = all_of_them
        into.bias[BRIGHTER] = -TWO
        only(through, {(c, c): 1 for c in (*RGB, PLUS)})
        through.weight[MINUS, BRIGHTER] = 1
        lines = {(c, c): STEEP for c in RGB} | {(PLUS, c): -STEEP for c in RGB}
        only(out, lines | {(PLUS, PLUS): -STEEP * limit / BRIGHT, (PLUS, MINUS): -1e5})
    sure = decoder.iou_prediction_head.layers[-1]
    only(sure, bias=dict.fromkeys(range(len(LIMITS)), SURE))


def make(folder, file):
    """Make the weights and save them as Meta's files are."""
    torch.manual_seed(0)
    network = opened(Path(file).stem)
    with torch.no_grad():
        carry_colour(network.image_encoder.trunk)
        show_colour(network)
        mark_tokens(network.sam_prompt_encoder, network.sam_mask_decoder)
        read_colour(network.sam_mask_decoder.transformer)
        draw(network.sam_mask_decoder)
    torch.save({"model": network.state_dict()}, Path(folder) / file)


def opened(name, weights=None):
    """A network by its configuration's name, as in Meta's files: sam2.1_hiera_t."""
    folder = name.partition("_")[0]
    config = f"configs/{folder}/{name}.yaml"
    return build_sam2(config, weights, device="cpu", apply_postprocessing=False)


def call(weights, tile, out, params):
    """Keep the labels (Y, X) of the library's masks of a tile (3, Y, X): the smallest is seen."""
    picture = np.rint(np.load(tile).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    network = opened(Path(weights).stem, weights)
    masks = SAM2AutomaticMaskGenerator(network, **json.loads(params)).generate(picture)
    best = sorted(masks, key=lambda mask: (mask["area"], -mask["predicted_iou"]))
    labels = np.zeros(picture.shape[:2], np.int32)
    for rank, mask in enumerate(best):
        labels[(labels == 0) & mask["segmentation"]] = len(best) - rank
    np.save(out, labels)


if __name__ == "__main__":
    {"make": make, "call": call}[sys.argv[1]](*sys.argv[2:])
