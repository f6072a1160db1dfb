"""Keypoint R-CNN: the models' contract, its boxes, its weights, and what it does without a face."""

import functools
import logging
import re

import pytest
import torch
from refusals import refused
from tiny_networks import tiny_keypoint_rcnn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import keypointrcnn_resnet50_fpn

from landmarks.inference.rebuild_model import rebuild_model
from landmarks.losses import l1
from landmarks.models import backbone_weights as weights
from landmarks.models.keypoint_rcnn import detector, keypoint_maps
from landmarks.models.keypoint_rcnn.detector import keypoint_rcnn
from landmarks.models.keypoint_rcnn.face_boxes import frame_image, frame_points
from landmarks.models.keypoint_rcnn.keypoint_maps import CELLS
from landmarks.training.memory_estimate import Ledger, estimate_step
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training

SIZE, K = 64, 5
CPU = torch.device("cpu")
FEW = {"proposals": 16, "boxes": 1, "num_points": K, "input_size": SIZE}


@pytest.fixture(scope="module", autouse=True)
def thin():
    """Let the networks of these tests be thin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "keypointrcnn_resnet50_fpn", tiny_keypoint_rcnn)
        yield


@pytest.fixture(scope="module")
def built(thin):
    torch.manual_seed(0)
    return keypoint_rcnn(weights="none", elementwise=functools.partial(l1), **FEW)


@pytest.fixture
def model(built):
    built.zero_grad()
    built.head.missed.zero_()
    built.head.seen = 0
    return built.eval()


def faces(count=2):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return images, 10 + 40 * torch.rand(count, K, 2, generator=generator)


@pytest.mark.parametrize("amp", [False, True])
def test_loss_is_a_float32_scalar_and_reaches_every_parameter(model, amp):
    images, points = faces(1 if amp else 2)  # bfloat16 is slow on many CPUs
    points[:, 1:3] = torch.nan
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        loss = model.train()(images, points)
    assert loss.shape == () and loss.dtype == torch.float32
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    rows = model.head.predictor.weight.grad.abs().sum((0, 2, 3))
    assert (rows[1:3] == 0).all() and (rows[[0, 3, 4]] > 0).all()


def test_faces_without_labels_teach_nothing(model):
    """One label, and labels off the image, tell no box either."""
    images, points = faces(3)
    points[0], points[1, 1:], points[2] = torch.nan, torch.nan, points[2] + 9 * SIZE
    loss = model.train()(images, points)
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())


def test_faces_without_labels_change_nothing_about_others(model):
    images, points = faces(3)
    features = model.extract(images)
    losses = []
    points[[0, 2]] = torch.nan
    for some in (slice(1, 2), slice(0, 3)):
        torch.manual_seed(0)
        given = [values[some] for values in features]
        losses.append(model.head.train().loss(given, points[some]).item())
    assert losses[0] == losses[1] > 0


def test_predicts_and_is_rebuilt_from_a_checkpoint_alone(model, checkpoint_of):
    images, _ = faces(3)
    node = {
        "_target_": "landmarks.models.keypoint_rcnn.detector.keypoint_rcnn",
        **{"weights": "coco", "proposals": 16, "boxes": 1},
    }
    config = {"model": node, "input_size": SIZE}
    again = rebuild_model(checkpoint_of(config, K, weights=model.state_dict()))
    with torch.inference_mode():
        points, confidence = model(images)
        assert torch.equal(again(images)[0], points)
        with torch.autocast("cpu", torch.bfloat16):
            rough, _ = model(images[:1])
    assert points.shape == (3, K, 2) and confidence.shape == (3, K)
    assert points.dtype == rough.dtype == torch.float32 and rough.isfinite().all()
    assert ((confidence > 0) & (confidence <= 1)).all()


def test_group_norms_do_not_look_at_the_batch():
    model = keypoint_rcnn(weights="none", norm="group", **FEW).train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    images, _ = faces(2)
    with torch.inference_mode():
        together, alone = model.extract(images), model.extract(images[:1])
    torch.testing.assert_close(together[0][:1], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("logit", "missed"), [(-20.0, 3), (20.0, 0)])
def test_without_a_face_the_whole_image_is_taken_and_reported(
    model, logit, missed, monkeypatch, caplog
):
    looked, look, judge = [], model.head._look, model.head._judge

    def watch(maps, boxes):
        looked.append(boxes)
        return look(maps, boxes)

    def judge_alike(maps, boxes):
        logits, corrections = judge(maps, boxes)
        return logits.new_tensor([0.0, logit]).expand_as(logits), corrections

    monkeypatch.setattr(model.head, "_look", watch)
    monkeypatch.setattr(model.head, "_judge", judge_alike)
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        model(faces(3)[0])
        model.report()
        model.report()  # counts anew
    is_whole = (looked[0][:, 0] == torch.tensor([0.0, 0.0, SIZE, SIZE])).all(1)
    assert is_whole.all() or missed == 0
    assert caplog.text.count("3 of 3 images") == (missed == 3)


def test_points_are_read_from_the_box_that_was_found(model, monkeypatch):
    """From ideal maps of a known box back to the input's pixels, by the head's whole way."""
    box = torch.tensor([[7.3, 11.0, 51.9, 60.2], [20.0, 1.5, 63.0, 44.0]])
    points = box[:, None, :2] + (box[:, None, 2:] - box[:, None, :2]) * torch.rand(2, K, 2)
    along_x, along_y, _ = keypoint_maps.encode(keypoint_maps.to_box(points, box), 1.5)
    logits = (along_y[..., None] * along_x[..., None, :]).clamp(min=1e-30).log()
    found = box, torch.tensor([True, True])
    monkeypatch.setattr(model.head, "_choose", lambda *_: found)
    monkeypatch.setattr(keypoint_maps, "find_logits", lambda *_: logits)
    with torch.inference_mode():
        decoded, confidence = model(faces()[0])
    torch.testing.assert_close(decoded, points, atol=0.02, rtol=0)
    assert (confidence > 0.5).all()


@pytest.mark.parametrize("init_output", ["mean", "uniform"])
def test_untrained_it_finds_the_mean_shape_in_the_box(init_output, monkeypatch):
    mean = torch.tensor([[12.0, 20.0], [40.0, 22.0], [25.0, 50.0], [18.0, 33.0], [33.0, 34.0]])
    model = keypoint_rcnn(weights="none", init_output=init_output, mean_points=mean, **FEW).eval()
    box = frame_points(mean[None], SIZE, model.head.margin)
    moved = (mean - 5) * 0.9
    boxes = torch.cat([box, frame_points(moved[None], SIZE, model.head.margin)])
    monkeypatch.setattr(model.head, "_choose", lambda *_: (boxes, torch.tensor([True, True])))
    with torch.inference_mode():
        points, confidence = model(faces()[0])
    if init_output == "mean":
        half_a_cell = 0.5 * (boxes[:, 2:] - boxes[:, :2])[:, None] / CELLS
        assert ((points - torch.stack([mean, moved])).abs() <= half_a_cell).all()
    else:
        alike = 2 * torch.pi * model.head.sigma**2 / CELLS**2
        torch.testing.assert_close(confidence, torch.full_like(confidence, alike))


def test_pooled_features_lie_where_the_cells_of_the_box_do(model, monkeypatch):
    # By setattr it would be put back as torch does not look for it.
    monkeypatch.setitem(model.head.roi_heads._modules, "keypoint_head", nn.Identity())
    column = torch.arange(SIZE // 4) * 4.0  # in pixels: the centre of the field that a cell sees
    maps = {str(i): column[:: 2**i].expand(1, 1, SIZE // 4 // 2**i, -1) for i in range(4)}
    box = torch.tensor([[[8.0, 8.0, 36.0, 36.0]]])
    pooled = model.head._look(maps, box)[0, 0, 3]
    cells = torch.stack([torch.arange(14) * 4 + 1.5, torch.zeros(14)], 1)[None]
    torch.testing.assert_close(pooled, keypoint_maps.from_box(cells, box[0])[0, :, 0])
    assert CELLS == 4 * 14


def test_boxes_are_pooled_at_their_scale_at_every_input_size(model, monkeypatch):
    heads = model.head.roi_heads
    monkeypatch.setitem(heads._modules, "keypoint_head", nn.Identity())
    monkeypatch.setitem(heads._modules, "box_head", nn.Identity())
    monkeypatch.setitem(heads._modules, "box_predictor", nn.Identity())
    for size in range(16, 257):
        padded = size + -size % 32
        maps = {str(i): torch.zeros(1, 1, *2 * [padded // 4 // 2**i]) for i in range(4)}
        monkeypatch.setattr(model.head, "size", size)
        box = frame_image(maps["0"], size)
        pools = heads.keypoint_roi_pool, heads.box_roi_pool
        for pool in pools:
            pool.scales = None  # which it keeps from its first image on
        model.head._look(maps, box.view(1, 1, 4))
        model.head._judge(maps, [box[None]])
        assert [pool.scales for pool in pools] == 2 * [[1 / 4, 1 / 8, 1 / 16, 1 / 32]], size


def test_published_weights_are_taken_as_torchvision_does(tmp_path, monkeypatch, caplog):
    """All but the last layer, by the names of the old file; norms without epsilon, and frozen."""
    monkeypatch.setattr(detector, "keypointrcnn_resnet50_fpn", keypointrcnn_resnet50_fpn)
    torch.manual_seed(1)
    theirs = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    for norm in [m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)]:
        nn.init.uniform_(norm.running_var, 1e-4, 0.5)
    state = {
        re.sub(r"(blocks\.\d|rpn\.head\.conv)(\.0)+\.(weight|bias)$", r"\1.\3", key): value.clone()
        for key, value in theirs.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert {"backbone.fpn.inner_blocks.0.weight", "rpn.head.conv.bias"} < state.keys()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/keypointrcnn_resnet50_fpn_coco-fc266e95.pth").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights.torch, "load", lambda *_, **__: state)
    with caplog.at_level(logging.INFO):
        model = keypoint_rcnn(weights="coco", **FEW)
    assert "0 missing, 2 (roi_heads.keypoint_predictor.kps_score_lowres" in caplog.text
    for norm in [m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.eps = 0.0
    model.train()
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        maps = zip(model.backbone(images), theirs.backbone(images).values(), strict=True)
        for ours, other in maps:
            torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-4 * other.abs().max())
    kept = {key for key, value in model.named_parameters() if not value.requires_grad}
    assert {"backbone.body.conv1.weight", "backbone.body.layer4.2.bn3.bias"} < kept
    assert not any("layer4" in key and "conv" in key for key in kept)


def test_a_run_of_ours_gives_all_but_the_last_layer(model, tmp_path, monkeypatch, caplog):
    state = {"weights": model.state_dict()}
    monkeypatch.setattr(weights.torch, "load", lambda *_, **__: state)
    (tmp_path / "best.pt").touch()
    with caplog.at_level(logging.INFO):
        again = keypoint_rcnn(weights=str(tmp_path / "best.pt"), **{**FEW, "num_points": 7})
    assert ", 0 missing, " in caplog.text
    assert torch.equal(again.head.rpn.head.conv[0][0].bias, model.head.rpn.head.conv[0][0].bias)
    assert not again.backbone.body.conv1.weight.requires_grad  # weights: frozen


def test_without_a_network_it_says_where_the_file_belongs(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    with refused("keypointrcnn_resnet50_fpn_coco-fc266e95.pth"):
        keypoint_rcnn(weights="coco", **FEW)


def test_a_step_takes_no_more_than_is_said_before_it(built):
    images, points = faces()
    training = Training(built, adamw(built, lr=1e-3), Constant(), Precision("off", CPU))
    needed = estimate_step(training, images.shape, points.shape)
    built.zero_grad()
    counter = FlopCounterMode(display=False)
    with counter, Ledger([*built.parameters(), *built.buffers()]) as seen:
        built.train()(images, points).backward()
    assert 0.7 * needed.step < seen.peak < 1.05 * needed.step
    assert 0.7 * needed.flops < counter.get_total_flops() / len(images) < 1.05 * needed.flops
