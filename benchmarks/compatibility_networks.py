"""Networks of other libraries, ``torchvision/NAME`` and ``timm/NAME``, and what a check has to know of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 10
# Each row a family: its smallest network, and further ones that are built otherwise.
_TIMM = """
botnet26t_256 lambda_resnet26t gernet_s mobileone_s0 repvgg_a0 seresnext26ts regnetz_b16 mixnet_s coat_lite_tiny
convit_tiny convmixer_768_32 convnext_atto cpubone_nano csatv2 cs3darknet_s cspresnet50 cspnext_tiny davit_tiny
deit_tiny_patch16_224 densenet121 dla46_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
efficientnet_b0 efficientnet_lite0 efficientnetv2_rw_t tf_efficientnetv2_b0 fbnetc_100 spnasnet_100 mnasnet_small
mobilenetv2_100 mobilenetv4_conv_small tinynet_e efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0
fastvit_t8 focalnet_tiny_srf gcvit_xxtiny ghostnet_050 ghostnetv2_100 ghostnetv3_050 hardcorenas_a hgnetv2_b0
hrnet_w18_small iformer_t inception_next_atto inception_v3 inception_v4 lcnetv2_small levit_128s levit_conv_128s
lowformer_b0 mambaout_femto coatnet_nano_rw_224 maxvit_nano_rw_256 poolformer_s12 caformer_s18 gmlp_ti16_224
mixer_s32_224 resmlp_12_224 fbnetv3_b lcnet_050 mobilenetv3_small_100 mobilenetv3_large_100 mobilevit_xxs
mobilevitv2_050 mvitv2_tiny nest_tiny nextvit_small dm_nfnet_f0 nfnet_l0 nf_regnet_b0 pit_ti_224 pnasnet5large
pvt_v2_b0 rdnet_tiny regnetx_002 regnety_002 regnetv_040 repghostnet_050 repvit_m0_9 res2net50_14w_8s resnest14d
ecaresnet26t resnet10t resnet18 seresnet18 resnetv2_18 resnetv2_50x1_bit resnetv2_50d_gn rexnet_100 selecsls42
sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 tiny_vit_5m_224 tresnet_m
twins_svt_small visformer_tiny vit_tiny_patch16_224 vitamin_small_224 ese_vovnet19b_slim_dw legacy_xception
xcit_nano_12_p16_224
"""
_TORCHVISION = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_1_6gf regnet_x_3_2gf
regnet_x_8gf regnet_x_16gf regnet_x_32gf regnet_x_400mf regnet_x_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf
regnet_y_16gf regnet_y_32gf regnet_y_128gf regnet_y_400mf regnet_y_800mf resnet18 resnet34 resnet50 resnet101
resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
wide_resnet50_2 wide_resnet101_2 fcn_resnet50 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large
lraspp_mobilenet_v3_large resnet50_fpn mobilenet_v3_large_fpn r3d_18 mc3_18 r2plus1d_18 s3d fcn_resnet101
deeplabv3_resnet101
"""
NAMES = [f"torchvision/{name}" for name in _TORCHVISION.split()] + [f"timm/{name}" for name in _TIMM.split()]

_SEGMENTATION = ("fcn", "deeplabv3", "lraspp")
_VIDEO = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")
_FRAMES = {"s3d": 16}  # 8 else
# pixels where 64 are too few, or where an attention's windows want another number
_SIZES: Mapping[str, int] = {
    **dict.fromkeys(("torchvision/inception_v3", "timm/inception_v3", "timm/inception_v4"), 96),
    **dict.fromkeys(("timm/inception_resnet_v2", "timm/legacy_xception"), 96),
    **dict.fromkeys(("timm/nasnetalarge", "timm/pnasnet5large"), 96),
    # at 64 their last map would be a pixel, and each matrix see 16 rows
    **dict.fromkeys(("timm/efficientvit_m0", "timm/levit_128s", "timm/levit_conv_128s", "timm/shvit_s1"), 128),
    **dict.fromkeys(("torchvision/maxvit_t", "torchvision/s3d", "timm/efficientformer_l1"), 224),
}


def image_size(name: str) -> int:
    """Pixels along each side."""
    return _SIZES.get(name, 64)


def build(name: str) -> nn.Module:
    """The network with random weights for ten classes."""
    library, _, own = name.partition("/")
    return _timm(own, image_size(name)) if library == "timm" else _torchvision(own, image_size(name))


def inputs_of(name: str, images: Tensor) -> Tensor:
    """Images as the network takes them: networks for video see short clips of a still that is shifted."""
    own = name.partition("/")[2]
    if own not in _VIDEO:
        return images
    return torch.stack([images.roll(shift, -1) for shift in range(_FRAMES.get(own, 8))], 2)


def logits(outputs: Any) -> Tensor:
    """One row of ten for each image: means over the positions of what is a map, of all maps of a pyramid."""
    if isinstance(outputs, Mapping):
        maps = [outputs["out"]] if "out" in outputs else list(outputs.values())
        return torch.stack([logits(one) for one in maps]).mean(0)
    if isinstance(outputs, tuple):
        return logits(outputs[0])
    assert isinstance(outputs, Tensor)
    return outputs[:, :CLASSES].flatten(2).mean(2) if outputs.dim() > 2 else outputs


def _timm(name: str, size: int) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, num_classes=CLASSES, img_size=size)
    except TypeError:  # it takes images of any size
        return timm.create_model(name, num_classes=CLASSES)


def _torchvision(name: str, size: int) -> nn.Module:
    from torchvision import models
    from torchvision.models.detection import backbone_utils

    del size
    if name == "resnet50_fpn":
        return backbone_utils.resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
        )
    if name == "mobilenet_v3_large_fpn":
        return backbone_utils.mobilenet_backbone(
            backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=nn.BatchNorm2d, trainable_layers=6
        )
    if name.startswith(_SEGMENTATION):
        return models.get_model(name, weights=None, weights_backbone=None, num_classes=CLASSES)
    more = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, num_classes=CLASSES, **more)
