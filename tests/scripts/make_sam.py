"""Write SAM weights whose masks are bright blobs near the point: python make_sam.py FILE [KIND].

The network is the library's own, started at random from a fixed seed; some weights are then set by
hand, so that a pixel's logit is its brightness, plus how near it is to the point, less a limit that
differs between the three masks. All other layers stay random, and take part.
"""

import sys

import torch
from segment_anything import sam_model_registry

BRIGHT, DARK, POINT, NEAR, FAR, ONE, MINUS = 0, 1, 2, 3, 5, 6, 7  # channels
LIMITS = (1.9, 2.1, 2.4)
"""Of the three masks that the library asks for."""
QUALITY = (0.0, 0.9, 0.95, 0.92)
"""Predicted IoU of each mask; the first is for other prompts."""


def only(layer, weight=None):
    """Leave a layer with nothing but `weight`, {index: value}."""
    for parameter in layer.parameters():
        parameter.zero_()
    for index, value in (weight or {}).items():
        layer.weight[index] = value


def see_brightness(encoder):
    """The image's brightness reaches the features' first channel, and its negative the second."""
    encoder.patch_embed.proj.weight[BRIGHT] = 3 / 768
    encoder.patch_embed.proj.bias[BRIGHT] = 0
    for block in encoder.blocks:
        for layer in (block.attn.proj, block.mlp.lin2):
            layer.weight[BRIGHT] = layer.bias[BRIGHT] = 0
    for channel, sign in ((BRIGHT, 1), (DARK, -1)):
        encoder.neck[0].weight[channel] = 0
        encoder.neck[0].weight[channel, BRIGHT] = sign
        encoder.neck[2].weight[channel] = 0
        encoder.neck[2].weight[channel, channel, 1, 1] = 1
    encoder.neck[3].weight[2:] = 0


def mark_tokens(prompts, decoder):
    """Only the point's token is positive in its channel."""
    others = (prompts.not_a_point_embed, decoder.iou_token, decoder.mask_tokens)
    for embedding in (*others, prompts.no_mask_embed, *prompts.point_embeddings):
        embedding.weight.zero_()
    for embedding in others:
        embedding.weight[:, POINT] = -30
    prompts.point_embeddings[1].weight[:, POINT] = 30
    prompts.no_mask_embed.weight[0, [ONE, MINUS]] = torch.tensor([8.0, -8.0])


def look_near(layer):
    """Each pixel attends to the point's token the more, the nearer it is."""
    for some in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
        only(some, {(0, POINT): 1})
    only(layer.self_attn.out_proj, {(POINT, 0): 1})
    only(layer.cross_attn_token_to_image.out_proj)
    only(layer.mlp.lin2)
    attention = layer.cross_attn_image_to_token
    waves = {}
    for head in range(8):
        for i in range(8):
            wave = 8 + 8 * head + i
            waves[16 * head + i, wave] = waves[16 * head + 8 + i, 128 + wave] = 3**0.5
    only(attention.q_proj, waves)
    only(attention.k_proj, waves)
    only(attention.v_proj, {(16 * head, POINT): 1 / 16 for head in range(8)})
    signs = {NEAR: 1, FAR: -1}
    only(attention.out_proj, {(c, 16 * h): s for c, s in signs.items() for h in range(8)})


def draw(decoder):
    """Logits from brightness, nearness and each mask's limit."""
    only(decoder.transformer.layers[1].cross_attn_image_to_token.out_proj)
    first, second = decoder.output_upscaling[0], decoder.output_upscaling[3]
    only(first, {(ONE, 60): 4, (ONE, 61): -4})
    only(second)
    for mask, limit in enumerate(LIMITS, 1):
        for sign, channel in ((1, 2 * mask), (-1, 2 * mask + 1)):
            first.weight[BRIGHT, channel] = sign
            first.weight[NEAR, channel] = 3 * sign
            first.weight[ONE, channel] = -limit * sign
            second.weight[channel, mask] = sign
            second.weight[channel, 16 + mask] = -sign
        last = decoder.output_hypernetworks_mlps[mask].layers[-1]
        only(last)
        last.bias[mask], last.bias[16 + mask] = 50, -50
    quality = decoder.iou_prediction_head.layers[-1]
    only(quality)
    quality.bias.copy_(torch.tensor(QUALITY))


def main(file, kind="vit_b"):
    """Make the weights and save them as Meta's files are."""
    torch.manual_seed(0)
    network = sam_model_registry[kind]()
    with torch.no_grad():
        see_brightness(network.image_encoder)
        mark_tokens(network.prompt_encoder, network.mask_decoder)
        look_near(network.mask_decoder.transformer.layers[0])
        draw(network.mask_decoder)
    torch.save(network.state_dict(), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
