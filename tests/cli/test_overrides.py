"""What would change nothing is refused on a command line, and only there."""

from importlib.resources import files

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.cli.command_list import COMMANDS, load_command
from landmarks.cli.overrides import check_settings, taker_of
from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.commands.preparing.config_groups import read_choice
from landmarks.errors import UserError
from landmarks.settings import Needs, flatten, marks_of, settings_of

IDLE = [  # the last word changes nothing beside those before it
    "train box_margin=0.5",
    "train box_from=points",
    "check crop=stretch box_margin=0.5",
    "check box_from=points",
    "train split.file=people.csv",
    "train split.by=random split.column=person",
    "train augment.noise=12",
    "train augment.blur=1",
    "train augment.blocks=2",
    "train augment.degrade=0.2",
    "train augment=strong augment.degrade=0 augment.noise=12",
    "train augment.erase_size=0.4",
    "train augment.erase=0.3",
    "check augment.noise=12",
    "train optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true",
    "train model.freeze=backbone optimizer.backbone_lr_scale=0.1",
    "train model.freeze=backbone optimizer.layer_decay=0.8",
    "train model.freeze=backbone optimizer=sgd optimizer.layer_decay=0.8",
    "train scheduler=one_cycle scheduler.peak=0 scheduler.start=0.1",
    "train model=keypoint_rcnn loss=wing",
    "train model=keypoint_rcnn loss=l1",
    "train loss=wing model=keypoint_rcnn loss.w=5",
    "train model.partial=true",
    "train model.sync_norm=false",
    "train model=keypoint_rcnn gpus=1 model.sync_norm=false",
    "train model=resnet18 model.weights=none model.partial=true",
    "train model=keypoint_rcnn model.partial=true",
    "train init=runs/a model.weights=imagenet",
    "train init=runs/a model.weights=file.pth",
    "train pictured_region=jaw",
    "train model=keypoint_rcnn pictured_region=jaw",
    "train run_dir=runs/mine name=mine",
    "check run_dir=runs/mine name=mine",
    "predict run_dir=runs/mine name=mine",
    "check data.cache=ram",
    "check data.on_error=skip",
    "check data=coco data.cache=off",
    "predict data=coco data.cache=ram",
    "predict data=coco data.exclude=suspects.csv",
    "predict data=coco data.train_annotations=train.json",
    "predict data=coco data.train_images=train",
    "predict data=table data.train=train.csv",
    "predict data=synthetic data.cache=ram",
    "predict input=photos data.root=contest",
    "predict input=photos data.cache_dir=cache",
]
USED = [  # all of these change something, or ask for nothing
    "train model.sync_norm=true",
    "train gpus=2 model.sync_norm=false",
    "train gpus=auto model=unet model.sync_norm=false",
    "train crop=box box_margin=0.5 box_from=points",
    "train split.file=null",
    "train split.by=groups split.file=people.csv split.column=person",
    "train augment.degrade=0.2 augment.noise=12",
    "train augment=strong augment.noise=20 augment.erase_size=0.2",
    "train augment.erase=0.3 augment.erase_size=0.4",
    "train optimizer=sgd optimizer.nesterov=true",
    "train optimizer=sgd optimizer.momentum=0 optimizer.nesterov=false",
    "train model.freeze=3 optimizer.backbone_lr_scale=0.1 optimizer.layer_decay=0.8",
    "train scheduler=one_cycle scheduler.start=0.1",
    "train model=unet_resnet18 loss=mse pictured_region=jaw",
    "train loss=wing loss.w=5",
    "train model.weights=file.pth model.partial=true",
    "train init=runs/a model.weights=none",
    "train name=mine",
    "train run_dir=runs/mine",
    "train data.cache=ram data.on_error=skip data.exclude=suspects.csv",
    "train data=table data.train=train.csv data.test=test.csv",
    "check data.exclude=suspects.csv",
    "predict data.root=contest data.on_error=skip",
    "predict data=coco data.test_annotations=test.json data.on_error=skip",
    "predict input=photos data.limit=3 data.exif=ignore",
    "train +model.fuse=false model=unet_resnet18",
    "train ~compile +compile=true",
]


@pytest.fixture(autouse=True)
def resolver():
    register_resolvers()
    OmegaConf.register_new_resolver("now", lambda p: "now", replace=True)


def kind_of(command):
    return settings_of(load_command(command))


def check(line, words=None):
    command, *given = line.split()
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        config = compose(command, overrides=given)
    words = given if words is None else words
    return check_settings(kind_of(command), config, words, command)


@pytest.mark.parametrize("line", IDLE)
def test_a_word_that_would_change_nothing_is_refused(line):
    word = line.split()[-1]
    with pytest.raises(UserError) as refused:
        check(line, words=[word])
    assert str(refused.value).startswith(f"{word} changes nothing: it needs ")
    assert refused.value.code == 2
    check(line, words=[])  # a file of settings or a sweep may hold it


@pytest.mark.parametrize("line", USED)
def test_a_word_that_changes_something_is_taken(line):
    check(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_conditions_name_settings_that_there_are(command):
    known, needed = {"command", "run_dir", "init", "input"}, set()
    kind = kind_of(command)
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        config = OmegaConf.to_container(compose(command), resolve=False)
    known |= flatten(config).keys()
    for group in (key for key, node in config.items() if isinstance(node, dict)):
        folder = files("landmarks.configs").joinpath(group)
        names = (
            [file.name.removesuffix(".yaml") for file in folder.iterdir()]
            if folder.is_dir()
            else []
        )
        nodes = [read_choice(f"{group}/{name}") for name in names] or [config[group]]
        for node in nodes:
            known |= flatten({group: node}).keys()
            taker = taker_of(kind, group, node)
            for marks in marks_of(taker, Needs).values() if taker else []:
                needed |= {key for needs in marks for key in needs.whole(group)}
    for marks in marks_of(kind, Needs).values():
        needed |= {key for needs in marks for key in needs.whole()}
    others = {"model.freeze"}  # of a command that trains: predict's data know no models
    assert needed <= known | others
